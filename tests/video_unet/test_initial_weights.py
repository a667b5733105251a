"""Initial weights: signals pass through rectifiers as if there were none, and keep their power."""

import pytest
import torch
import torch.nn.functional as F
from tests.tolerances import assert_identity, assert_sampling
from torch import nn

from theodolite.video_unet.config import VideoUNetConfig
from theodolite.video_unet.initial_weights import MID_GREY, draw, draw_block, paired, plain
from theodolite.video_unet.model import VideoUNet


def rectified(x, block):
    for layer in block:
        x = F.relu(layer(x))
    return x


def test_two_channels_of_a_pair_are_a_signal_and_its_negative():
    assert paired(4).tolist() == [[1, 0, -1, 0], [0, 1, 0, -1]]
    assert paired(5).tolist() == [[1, 0, 0, -1, 0], [0, 1, 0, 0, -1], [0, 0, 1, 0, 0]]
    assert paired(1).tolist() == [[1]]
    x = torch.randn(3, 7, dtype=torch.float64)
    read = torch.einsum("st,tn->sn", paired(6).double(), F.relu(torch.einsum("st,sn->tn", paired(6).double(), x)))
    assert_identity(read, x)


@pytest.mark.parametrize("kernel", [1, (3, 3, 3), (1, 3, 5)])
def test_convolutions_and_rectifiers_are_linear_at_first(kernel):
    torch.manual_seed(0)
    block = nn.ModuleList(nn.Conv3d(i, o, kernel, padding="same") for i, o in ((3, 8), (8, 6), (6, 4), (4, 4)))
    signals = draw_block(block, plain(3)).double()
    block.double()
    x, y = torch.randn(2, 1, 3, 4, 6, 6, dtype=torch.float64)

    def read(z):
        return torch.einsum("st,ntfhw->nsfhw", signals, rectified(z, block)).detach()

    assert_identity(read(2.0 * x - 3.0 * y), 2.0 * read(x) - 3.0 * read(y))


@pytest.mark.parametrize(("inputs", "outputs"), [(8, 8), (3, 16), (16, 4)])
def test_signals_keep_their_power(inputs, outputs):
    """Over many draws the mean square of what is read is that of what was given, through a convolution of any shape."""
    torch.manual_seed(1)
    x = torch.randn(1, inputs, 6, 6, 6)
    ratios = []
    for _ in range(60):
        layer = nn.Conv3d(inputs, outputs, 3, padding=1)
        draw(layer, plain(inputs), paired(outputs))
        read = torch.einsum("st,ntfhw->nsfhw", paired(outputs), F.relu(layer(x)))[..., 1:-1, 1:-1, 1:-1]
        ratios.append((read.square().mean() / x[..., 1:-1, 1:-1, 1:-1].square().mean()).item())
    assert_sampling(ratios, 1.0)


def test_an_up_convolution_keeps_the_power_of_signals():
    torch.manual_seed(2)
    x = torch.randn(1, 8, 2, 2, 2)
    shown = torch.einsum("st,nsfhw->ntfhw", paired(16), x).relu()
    ratios = []
    for _ in range(60):
        layer = nn.ConvTranspose3d(16, 8, 2, stride=2)
        draw(layer, paired(16), plain(8))
        ratios.append((layer(shown).square().mean() / x.square().mean()).item())
    assert_sampling(ratios, 1.0)


@pytest.mark.parametrize("up", ["transposed", "resize"])
@pytest.mark.parametrize("skips", [True, False])
def test_a_mid_grey_clip_is_nothing_to_see_and_is_painted(up, skips):
    """Away from borders: outside the clip is black."""
    torch.manual_seed(3)
    network = VideoUNet(VideoUNetConfig(base=4, stages=1, skips=skips, up=up))
    grey = torch.full((1, 3, 22, 22, 22), MID_GREY)
    assert_identity(
        network.encoders[0].convolutions[0](grey).detach()[..., 1:-1, 1:-1, 1:-1].double().round(decimals=6), 0
    )
    assert_identity(network(grey).detach()[..., 10:12, 10:12, 10:12].double().round(decimals=5), round(MID_GREY, 5))


def test_a_corrupted_clip_is_corrected_by_nothing_at_first():
    network = VideoUNet(VideoUNetConfig(base=2, corruption="masked"))
    assert network.head.bias.tolist() == [0.0, 0.0, 0.0]
