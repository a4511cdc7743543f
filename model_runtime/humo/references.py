"""Reference pictures to the slots that the transformer sees (HuMo reference, conditioning)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from PIL import Image
from torch import Tensor

from media.picture import letterbox
from model_runtime.humo import vae as video_vae


def to_tensor(picture: Image.Image, *, width: int, height: int) -> Tensor:
    """The whole picture centred on white, float32 [3, 1, height, width] in -1 to 1."""
    boxed = np.asarray(letterbox(picture, width, height), dtype=np.float32)
    return (torch.from_numpy(boxed).permute(2, 0, 1)[:, None] / 255 - 0.5) / 0.5


def encode_references(vae: AutoencoderKLWan, pictures: Iterable[Image.Image], *, width: int, height: int) -> Tensor:
    """One slot per picture, in order: [16, pictures, height/8, width/8]. Each is encoded by itself, as one frame."""
    return torch.cat(
        [video_vae.encode(vae, to_tensor(picture, width=width, height=height)) for picture in pictures], dim=1
    )
