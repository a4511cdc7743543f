"""The autoencoder's quick kernels against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from model_runtime.humo.cpu_kernels import CpuKernels, normalize

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")


@pytest.mark.parametrize(
    ("stride", "padding"), [((1, 1, 1), (0, 1, 1)), ((2, 1, 1), (0, 0, 0)), ((1, 2, 2), (1, 0, 1))]
)
def test_convolutions_are_torchs(stride: tuple[int, ...], padding: tuple[int, ...]) -> None:
    """Same numbers up to rounding, by another operator than torch would choose for so few channels."""
    generator = torch.Generator().manual_seed(1)
    x, weight, bias = (torch.randn(shape, generator=generator) for shape in ((1, 4, 5, 9, 7), (6, 4, 3, 3, 3), (6,)))
    wanted = functional.conv3d(x, weight, bias, stride=stride, padding=padding)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile, CpuKernels():
        got = functional.conv3d(x, weight, bias, stride=stride, padding=padding)
    assert "aten::mkldnn_convolution" in {event.key for event in profile.key_averages()}
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)


def test_norms_are_torchs() -> None:
    """Also where all channels are zero, along another axis, and of another order."""
    x = torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(2))
    x[0, :, 0, 0] = 0
    with CpuKernels():
        got = functional.normalize(x, dim=1)
    torch.testing.assert_close(got, functional.normalize(x, dim=1))
    assert not torch.isnan(got).any()
    torch.testing.assert_close(normalize(x, dim=-1), functional.normalize(x, dim=-1))
    torch.testing.assert_close(normalize(x, p=1.0), functional.normalize(x, p=1.0))


def test_other_types_are_left_alone() -> None:
    """Double precision gives bit for bit what it gives outside the block."""
    x = torch.randn(1, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    with CpuKernels():
        got = functional.normalize(x, dim=1)
    assert torch.equal(got, functional.normalize(x, dim=1))
