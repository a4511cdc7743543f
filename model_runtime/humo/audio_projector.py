"""Speech windows to the tokens that the audio cross-attention of every block reads."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from model_runtime.humo.config import TransformerConfig


class _Layer(nn.Module):
    """Holds one layer under the name that the published checkpoint gives it."""

    def __init__(self, layer: nn.Linear | nn.LayerNorm) -> None:
        super().__init__()
        self.layer = layer


class AudioProjector(nn.Module):
    """window x bands x channels -> hidden -> hidden -> tokens x audio_dim, ReLU between (HuMo reference, audio)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.tokens = config.audio_tokens
        features = config.audio_window * config.audio_bands * config.audio_channels
        self.audio_proj_glob_1 = _Layer(nn.Linear(features, config.audio_hidden))
        self.audio_proj_glob_2 = _Layer(nn.Linear(config.audio_hidden, config.audio_hidden))
        self.audio_proj_glob_3 = _Layer(nn.Linear(config.audio_hidden, config.audio_tokens * config.audio_dim))
        self.audio_proj_glob_norm = _Layer(nn.LayerNorm(config.audio_dim, eps=1e-5))

    def forward(self, windows: Tensor) -> Tensor:
        """[batch, latent frames, window, bands, channels] -> [batch, latent frames, tokens, audio_dim]."""
        x = functional.relu(self.audio_proj_glob_1.layer(windows.flatten(2)))
        x = functional.relu(self.audio_proj_glob_2.layer(x))
        x = self.audio_proj_glob_3.layer(x).unflatten(-1, (self.tokens, -1))
        norm = self.audio_proj_glob_norm.layer
        assert isinstance(norm, nn.LayerNorm)
        return layer_norm(x, norm).type_as(x)


def layer_norm(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    """An affine LayerNorm in float32, whatever the dtypes of input and weights; the result is float32."""
    return functional.layer_norm(x.float(), norm.normalized_shape, norm.weight.float(), norm.bias.float(), norm.eps)
