"""What happens and where: what the prompt decides."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from model_runtime.training.world.streams import Streams
from model_runtime.training.world.vocabulary import ROLE, SCENE, Background, Camera, Clothes, Colour, Hat, Held, Motion


@dataclass(frozen=True, kw_only=True)
class Role:
    """What the prompt says of one person."""

    colour: Colour
    clothes: Clothes
    hat: Hat
    held: Held
    motion: Motion

    @property
    def attributes(self) -> dict[str, StrEnum]:
        return {name: getattr(self, name) for name in ROLE}


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A whole prompt's content. Roles stand from left to right, as the references that play them."""

    background: Background
    camera: Camera
    roles: tuple[Role, ...]
    speaker: int = 0
    """Index of the one who talks; the other listens with the mouth closed."""

    @property
    def attributes(self) -> dict[str, StrEnum]:
        """Flat, by name: `background`, `camera`, and for each person `0/hat` and so on."""
        flat: dict[str, StrEnum] = {name: getattr(self, name) for name in SCENE}
        for place, role in enumerate(self.roles):
            flat |= {f"{place}/{name}": value for name, value in role.attributes.items()}
        return flat


def draw_role(streams: Streams, name: str) -> Role:
    return Role(**{key: streams.value(f"{name}/{key}", kind) for key, kind in ROLE.items()})  # type: ignore[arg-type]


def draw_scene(streams: Streams, people: int) -> Scene:
    """A scene for one or two people; every value of every list as likely, except that two never dress alike."""
    roles = [draw_role(streams, f"scene/{place}") for place in range(people)]
    attempt = 0
    while people > 1 and roles[0].colour is roles[1].colour:
        attempt += 1
        roles[1] = draw_role(streams, f"scene/1/{attempt}")
    return Scene(
        background=streams.value("scene/background", Background),
        camera=streams.value("scene/camera", Camera),
        roles=tuple(roles),
        speaker=int(streams.of("scene/speaker").integers(people)),
    )
