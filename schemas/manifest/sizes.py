"""How large a row's picture is: its own cells, else the campaign's, else the model's."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.campaign import CampaignSettings
from schemas.manifest.cells import Fault
from schemas.model_spec import ModelSpec
from schemas.problem import Code


@dataclass(frozen=True, kw_only=True)
class SizeRule:
    """What a model can render, and what rows get that say nothing; sizes are pixels."""

    model: ModelSpec
    width: int
    height: int
    default_fault: Fault | None
    """Why the campaign's own size cannot be rendered."""

    @classmethod
    def of(cls, settings: CampaignSettings, model: ModelSpec) -> SizeRule:
        width, height = settings.width or model.width, settings.height or model.height
        error = model.size_error(width, height)
        fault = None
        if error is not None:
            near = near_size(model, width, height)
            fault = Fault(
                code=Code.SIZE_UNSUPPORTED,
                column="",
                message=f"the campaign's size: {error} ({model.name})",
                fix=f"set a size that the model renders in campaign.toml, for example {near}",
            )
        return cls(model=model, width=width, height=height, default_fault=fault)

    def fault(self, width_cell: str, height_cell: str, width: int | None, height: int | None) -> Fault | None:
        """What is wrong with a row's two cells together; faults of a single cell are known already."""
        if not width_cell and not height_cell:
            return self.default_fault
        if not (width_cell and height_cell):
            missing, given = ("height", "width") if width_cell else ("width", "height")
            return Fault(
                code=Code.SIZE_INVALID,
                column=missing,
                message=f"{given} is given but {missing} is empty",
                fix="fill both width and height, or neither",
            )
        if width is None or height is None:
            return None
        error = self.model.size_error(width, height)
        if error is None:
            return None
        return Fault(
            code=Code.SIZE_UNSUPPORTED,
            column="width",
            message=f"{error} ({self.model.name})",
            fix=f"choose a size that the model renders, for example {near_size(self.model, width, height)}",
        )


def near_size(model: ModelSpec, width: int, height: int) -> str:
    """A size that the model renders: the one asked for on the model's grid, else the model's own."""

    def on_grid(side: int) -> int:
        m = model.spatial_multiple
        low, high = -(-model.min_side // m) * m, model.max_side // m * m
        return max(low, min(high, round(side / m) * m))

    w, h = on_grid(width), on_grid(height)
    return f"{w}x{h}" if model.size_error(w, h) is None else f"{model.width}x{model.height}"
