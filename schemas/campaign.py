"""A named batch with its settings."""

from __future__ import annotations

from pydantic import Field

from schemas.object_ref import ObjectRef, Value
from schemas.retry import RetryPolicy
from schemas.states import CampaignState


class CampaignSettings(Value):
    """What holds for every row unless the row says otherwise. None means: as the model says."""

    model: str = "humo-17B"
    engine: str = ""
    """Empty: the model's own engine."""
    width: int | None = None
    height: int | None = None
    duration: float | None = Field(default=None, gt=0, le=600)
    """Seconds of a shot without speech; None: the model's longest clip."""
    num_inference_steps: int | None = Field(default=None, gt=0, le=1000)
    guidance_text: float | None = None
    guidance_audio: float | None = None
    guidance_image: float | None = None
    negative_prompt: str | None = None
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    """One seed for all rows; None: a hash of each row's id."""
    crossfade_frames: int = Field(default=0, ge=0, le=12)
    loudness_lufs: float | None = Field(default=None, ge=-40, le=-5)
    """Loudness target of the published sound (EBU R 128); None: the author's sound untouched."""
    priority: int = Field(default=0, ge=-1000, le=1000)
    team: str = Field(default="default", pattern=r"^[A-Za-z0-9._-]{1,64}$")
    ranks: int = Field(default=1, ge=1, le=8)
    """Devices that render one clip together."""
    max_attempts: int = Field(default=5, ge=1, le=20)
    placeholders: dict[str, str] = Field(default_factory=dict)
    """Campaign defaults for `{{name}}` in prompts."""

    @property
    def retry_policy(self) -> RetryPolicy:
        return RetryPolicy(attempts=self.max_attempts)


class ManifestRef(Value):
    """The manifest as it came: stored bytes and what was assumed in reading them."""

    object: ObjectRef
    name: str
    encoding: str
    delimiter: str
    line_end: str
    columns: tuple[str, ...]
    """Header names after mapping, in file order."""
    rows: int
    base: str = ""
    """Folder or `s3://` prefix that relative references start from; empty where nobody knows it."""


class Campaign(Value):
    """One row of the ledger's campaign table. Times are seconds since the epoch on the database's clock."""

    campaign_id: str
    name: str
    team: str
    state: CampaignState
    settings: CampaignSettings
    manifest: ManifestRef | None
    revision: int
    """How many times a manifest with a difference was submitted."""
    created_at: float
    updated_at: float
    coordinator: str = ""
    coordinator_epoch: int = 0
