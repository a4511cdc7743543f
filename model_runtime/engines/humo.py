"""HuMo as an engine: from a weights folder to frames. torch and its libraries are imported when it opens."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from model_runtime.engine import Gang, RenderContext, RenderTask
from schemas.errors import InvalidInput
from schemas.guidance import Chain
from schemas.model_spec import HUMO, ModelSpec
from schemas.settings import resolve

if TYPE_CHECKING:
    from model_runtime.humo.renderer import Renderer


class HumoEngine:
    """Renders with the weights that the setting `weights` points at, on one device."""

    spec = HUMO

    def __init__(self) -> None:
        self._renderer: Renderer | None = None

    def guide_by(self, chain: Chain) -> None:
        """Render from now on with that chain of guidance instead of the model's own; the engine is open."""
        assert self._renderer is not None, "guide before open"
        self._renderer.chain = chain

    def digest(self, model: ModelSpec) -> str:
        """The lock file's digest.

        Raises:
            InvalidInput: there is no lock file.
        """
        from model_runtime.humo.weights.lockfile import read_lock

        return read_lock(weights_folder(), model.name).digest

    def open(self, model: ModelSpec, gang: Gang) -> None:
        """Compare all files with the lock, byte for byte, then load them.

        Raises:
            InvalidInput: no lock, files that differ from it, a checkpoint of another size, or more than one rank.
        """
        # Threads that spin while they wait starve the encoder beside them; read once, when torch is loaded.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        if gang.world != 1:
            raise InvalidInput(
                f"HuMo renders a clip on one device, this gang has {gang.world} ranks",
                fix="start the worker with --ranks 1",
            )
        from model_runtime.humo.weights.layout import find_model
        from model_runtime.humo.weights.lockfile import check_digests, read_lock

        root, humo = weights_folder(), find_model(model.name)
        check_digests(root, read_lock(root, model.name))
        # Only now: these bring torch, and wrong weights are to be refused at once.
        from model_runtime.humo.loaded import default_device, default_dtype, load_model
        from model_runtime.humo.renderer import Renderer

        device = default_device()
        self._renderer = Renderer(load_model(root, humo, device=device, dtype=default_dtype(device)), model)

    def render(self, task: RenderTask, context: RenderContext) -> None:
        """As `model_runtime.humo.renderer.Renderer.render`."""
        assert self._renderer is not None, "render before open"
        self._renderer.render(task, context)

    def close(self) -> None:
        self._renderer = None


def weights_folder() -> Path:
    """Where the setting `weights` points, for this process.

    Raises:
        InvalidSettings: a `CALLSHEET_*` variable is unknown or impossible.
    """
    return Path(resolve(environ=os.environ).settings.weights)
