"""Whether the mode that a row states, the cells that it fills and the model that renders it agree."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.manifest.cells import Fault
from schemas.mode import Mode
from schemas.model_spec import ModelSpec
from schemas.problem import Code


def mode_fault(
    stated: Mode | None, filled: Mode | None, *, model: ModelSpec, renames: Mapping[str, str]
) -> Fault | None:
    """What is wrong, or None. `filled` is the mode that the filled cells mean; `renames` says {our column: the
    sheet's column that looks like it}."""
    if stated is None:
        return _unsupported(filled, model) if filled else _nothing_filled(renames)
    if stated is not filled:
        return _mismatch(stated, filled)
    return _unsupported(stated, model)


def _nothing_filled(renames: Mapping[str, str]) -> Fault:
    hints = [f"rename the column {renames[name]!r} to {name}" for name in ("image", "audio") if name in renames]
    return Fault(
        code=Code.MODE_UNKNOWN,
        column="mode",
        message="image and audio are both empty, so there is nothing to read the mode off",
        fix=", or ".join(["fill image, audio or both", *hints]),
    )


def _mismatch(stated: Mode, filled: Mode | None) -> Fault:
    has_images = filled is not None and filled.has_images
    has_speech = filled is not None and filled.has_speech
    wrong = [
        (name, "needs" if wanted else "takes no", "is empty" if wanted else "is filled")
        for name, wanted, given in (
            ("image", stated.has_images, has_images),
            ("audio", stated.has_speech, has_speech),
        )
        if wanted != given
    ]
    said = " and ".join(f"{verb} {name}, but {name} {state}" for name, verb, state in wrong)
    return Fault(
        code=Code.MODE_MISMATCH,
        column=wrong[0][0],
        message=f"mode {stated} {said}",
        fix="fill or clear the named cell, or leave mode empty to have it read off the filled cells",
    )


def _unsupported(mode: Mode, model: ModelSpec) -> Fault | None:
    if mode in model.modes:
        return None
    return Fault(
        code=Code.MODE_UNSUPPORTED,
        column="mode",
        message=f"model {model.name} does not render mode {mode}; it renders {', '.join(sorted(model.modes))}",
        fix="choose another model, or fill the cells for a mode that this one renders",
    )
