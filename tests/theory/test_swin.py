import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tolerances import assert_trend
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from theodolite.theory import swin

# swin_tiny_patch4_window7_224 of timm 1.0.31, counted by torch's FlopCounterMode on the meta device
TIMM = {
    100: 2_599_753_728,
    128: 4_409_145_600,
    224: 8_981_133_312,
    256: 14_690_883_072,
    512: 51_006_619_392,
    1024: 196_821_776_640,
    4096: 3_032_837_275_392,
}


class Layer(nn.Module):
    """Attention within windows, shifted or not, then an MLP, on a map of tokens."""

    def __init__(self, width, heads, shift, side=7):
        super().__init__()
        self.heads, self.shift, self.side = heads, shift, side
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.three, self.back = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.bias = nn.Parameter(torch.zeros((2 * side - 1) ** 2, heads))
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x):
        batch, rows, columns, width = x.shape
        side = self.side
        padded = F.pad(self.norms[0](x), (0, 0, 0, -columns % side, 0, -rows % side))
        if self.shift:
            padded = padded.roll((-(side // 2), -(side // 2)), (1, 2))
        down, across = padded.shape[1] // side, padded.shape[2] // side
        windows = padded.view(batch, down, side, across, side, width).transpose(2, 3).reshape(-1, side**2, width)
        q, k, v = self.three(windows).view(-1, side**2, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(-1, side**2, width)
        told = self.back(mixed).view(batch, down, across, side, side, width).transpose(2, 3).reshape(padded.shape)
        if self.shift:
            told = told.roll((side // 2, side // 2), (1, 2))
        x = x + told[:, :rows, :columns]
        return x + self.mlp(self.norms[1](x))


class Merging(nn.Module):
    """Four neighbours become one token of twice the width."""

    def __init__(self, width):
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(4 * width), nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x):
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        return self.linear(self.norm(torch.cat([x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], dim=-1)))


class Swin(nn.Module):
    """Swin-T by the paper's text."""

    def __init__(self, channels=3, outputs=1000):
        super().__init__()
        self.embed, self.norm = nn.Conv2d(channels, 96, 4, 4), nn.LayerNorm(96)
        body = []
        for stage, (depth, heads) in enumerate(((2, 3), (2, 6), (6, 12), (2, 24))):
            if stage:
                body.append(Merging(96 * 2 ** (stage - 1)))
            body += [Layer(96 * 2**stage, heads, shift=number % 2 == 1) for number in range(depth)]
        self.body, self.last, self.head = nn.Sequential(*body), nn.LayerNorm(768), nn.Linear(768, outputs)

    def forward(self, image):
        image = F.pad(image, (0, -image.shape[3] % 4, 0, -image.shape[2] % 4))
        x = self.body(self.norm(self.embed(image).permute(0, 2, 3, 1)))
        return self.head(self.last(x).mean(dim=(1, 2)))


def counted(work):
    with FlopCounterMode(display=False) as counter:
        work()
    return counter


@pytest.mark.parametrize("side", TIMM)
def test_the_published_network_costs_what_the_formula_says(side):
    assert swin.swin_flops(side, side) == TIMM[side]
    assert swin.swin_parameters() == 28_288_354


@settings(max_examples=6, deadline=None, derandomize=True)
@given(height=st.integers(1, 700), width=st.integers(1, 700), channels=st.integers(1, 5), outputs=st.integers(1, 9))
def test_a_network_built_from_the_papers_text_costs_it_on_any_image(height, width, channels, outputs):
    with torch.device("meta"):
        network, image = Swin(channels, outputs), torch.empty(1, channels, height, width)
    counter = counted(lambda: network(image))
    assert counter.get_total_flops() == swin.swin_flops(height, width, channels, outputs)
    operations = counter.get_flop_counts()["Global"]
    products = sum(flops for name, flops in operations.items() if "attention" in str(name) or "bmm" in str(name))
    assert products == swin.swin_attention_flops(height, width)
    assert sum(weight.numel() for weight in network.parameters()) == swin.swin_parameters(channels, outputs)


def test_where_nothing_is_padded_it_is_the_papers_equation():
    """448 px are 16, 8, 4 and 2 windows a side."""
    work = sum(
        depth * (12 * (112 >> s) ** 2 * (96 << s) ** 2 + 2 * 49 * (112 >> s) ** 2 * (96 << s))
        for s, depth in enumerate((2, 2, 6, 2))
    )
    beside = 112**2 * 48 * 96 + sum((56 >> s) ** 2 * 4 * (96 << s) * 2 * (96 << s) for s in range(3)) + 768 * 1000
    assert swin.swin_flops(448, 448) == 2 * (work + beside)
    assert swin.swin_attention_flops(448, 448) == 4 * 49 * sum(
        depth * (112 >> s) ** 2 * (96 << s) for s, depth in enumerate((2, 2, 6, 2))
    )


def test_work_is_linear_in_the_pixels():
    sides = [1024, 4096, 16384]
    assert_trend([side**2 for side in sides], [swin.swin_flops(side, side) for side in sides], slope=1, band=0.02)


def test_every_token_of_a_window_has_as_many_weights_as_its_window_has_tokens():
    one = swin.swin_attention_entries(28, 28)  # one window in each stage
    assert one == 49**2 * (2 * 3 + 2 * 6 + 6 * 12 + 2 * 24)
    assert swin.swin_attention_entries(448, 448) == 49**2 * (256 * 6 + 64 * 12 + 16 * 72 + 4 * 48)


def test_the_formula_of_memory_is_a_lower_bound_of_what_autograd_keeps():
    network = Swin()
    own = {weight.untyped_storage().data_ptr() for weight in network.parameters()}
    saved = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        network(torch.rand(1, 3, 224, 224))
    kept = sum(storage.nbytes() for storage in saved.values())
    planned = swin.swin_kept_bytes(224, 224)
    assert 0.9 * kept < planned <= kept
    entries = swin.swin_attention_entries(224, 224)
    more = swin.swin_kept_bytes(224, 224, fused=False) - planned
    assert more == 4 * (entries - entries // 49)
