import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tolerances import assert_identity, assert_trend

from theodolite.theory import attention
from theodolite.theory.attention import Nesting

TERA = 1e12


class Ledger:
    """A transformer of NumPy products, each of which writes down its multiplications and additions."""

    def __init__(self):
        self.flops = 0

    def product(self, a, b):
        rows, inner = a.shape
        self.flops += sum(2 for _ in range(rows * inner * b.shape[1]))
        return np.zeros((rows, b.shape[1]))

    def layer(self, x, heads=2):
        d = x.shape[1]
        parts = [self.product(x, np.zeros((d, d))) for _ in range(3)]
        mixed = []
        for head in range(heads):
            q, k, v = (part[:, head * d // heads : (head + 1) * d // heads] for part in parts)
            mixed.append(self.product(self.product(q, k.T), v))
        x = self.product(np.concatenate(mixed, axis=1), np.zeros((d, d)))
        return self.product(self.product(x, np.zeros((d, 4 * d))), np.zeros((4 * d, d)))


@pytest.mark.parametrize(("tokens", "width"), [(1, 2), (5, 4), (9, 6)])
def test_a_layer_costs_what_its_products_do(tokens, width):
    ledger = Ledger()
    ledger.layer(np.zeros((tokens, width)))
    assert attention.layer_flops(tokens, width) == ledger.flops


def test_a_nested_network_costs_what_its_products_do():
    K, patches, R, S, local, across, d, values = 3, 4, 2, 2, 2, 1, 4, 12
    ledger = Ledger()
    for _ in range(K):
        ledger.product(np.zeros((patches, values)), np.zeros((values, d)))
    for _ in range(S):
        for _ in range(K * local):
            ledger.layer(np.zeros((patches + R, d)))
        for _ in range(across):
            ledger.layer(np.zeros((K * R, d)))
    ledger.product(np.zeros((1, d)), np.zeros((d, 7)))
    head = attention.linear_flops(1, d, 7)
    assert attention.nested_flops(Nesting(K, patches, R, S, local, across), values, d, head) == ledger.flops


@given(tokens=st.integers(1, 10**6), width=st.integers(1, 2000))
def test_a_layer_is_24_n_d2_plus_4_n2_d(tokens, width):
    assert attention.layer_flops(tokens, width) == 24 * tokens * width**2 + 4 * tokens**2 * width


@given(windows=st.integers(1, 500), width=st.integers(1, 64))
def test_one_window_without_region_tokens_is_a_plain_transformer(windows, width):
    nest = Nesting(1, windows, 0, 1, 3, 1)
    assert attention.nested_flops(nest, 12, width, 5) == attention.vit_flops(windows, 12, width, 3, 5)


# published in the theory's units: TFLOPs at 4096 px, 12 layers
@pytest.mark.parametrize(
    ("width", "vit8", "vit16", "nested"),
    [(192, 636.1, 40.3, 3.447), (384, 1277.8, 82.0, 12.49), (768, 2577.9, 169.5, 47.38)],
)
def test_costs_at_4096_pixels(width, vit8, vit16, nested):
    head = attention.linear_flops(1, width, 1000)
    assert round(attention.vit_flops(512**2, 192, width, 12, head) / TERA, 1) == vit8
    assert round(attention.vit_flops(256**2, 768, width, 12, head) / TERA, 1) == vit16
    ours = attention.nested_flops(Nesting(32 * 32, 16 * 16, 1, 6, 2, 1), 192, width, head) / TERA
    assert round(ours, 3 if width == 192 else 2) == nested


def test_plain_work_is_quadratic_in_pixels_and_local_work_linear():
    tokens = np.array([2**18, 2**19, 2**20])
    assert_trend(tokens, [attention.vit_flops(int(n), 192, 64, 4, 0) for n in tokens], slope=2, band=0.02)
    windows = [attention.nested_flops(Nesting(int(n) // 64, 64, 1, 2, 2, 0), 192, 64, 0) for n in tokens]
    assert_trend(tokens, windows, slope=1, band=0.001)


def test_the_share_of_attention_falls_with_the_width():
    nest = Nesting(1024, 256, 1, 6, 2, 1)
    shares = [
        attention.nested_attention_flops(nest, d) / attention.nested_flops(nest, 192, d, 0) for d in (192, 384, 768)
    ]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] < 0.5


def test_attention_alone_counts_what_the_whole_does_when_linear_maps_vanish():
    nest = Nesting(16, 64, 2, 3, 2, 1)
    whole = attention.nested_flops(nest, 0, 8, 0)
    linear = 24 * 8**2 * 3 * (2 * 16 * 66 + 32)
    assert attention.nested_attention_flops(nest, 8) == whole - linear


@given(windows=st.integers(1, 50), regions=st.integers(1, 4), heads=st.integers(1, 8))
def test_each_weight_is_two_products_of_a_heads_features(windows, regions, heads):
    nest, width = Nesting(windows, 16, regions, 3, 2, 1), 12 * heads
    assert attention.nested_attention_flops(nest, width) == 4 * 12 * attention.nested_attention_entries(nest, heads)
    plain = attention.vit_flops(windows, 0, width, 3, 0) - 24 * 3 * windows * width**2
    assert plain == 4 * 12 * attention.vit_attention_entries(windows, heads, 3)


@given(forward=st.integers(1, 10**15), embedding=st.integers(0, 10**6))
def test_training_is_three_forward_passes_but_for_the_pixels_gradient(forward, embedding):
    assert attention.training_flops(forward, embedding) + embedding == 3 * forward


def test_recomputation_costs_about_the_square_of_the_stages():
    stages = np.array([8, 16, 32])
    costs = [attention.recomputed_training_flops(Nesting(4, 64, 1, int(S), 2, 0), 192, 64, 0, 0) for S in stages]
    assert_trend(stages, costs, slope=2, band=0.1)


@given(stages=st.integers(1, 40), width=st.integers(4, 64))
def test_stored_boundaries_cost_four_thirds_whatever_the_stages(stages, width):
    """Of the layers; the embedding costs 3/2, a head nothing more."""
    nest = Nesting(4, 64, 1, stages, 2, 1)
    nominal = attention.training_flops(attention.nested_flops(nest, 0, width, 0), 0)
    assert 3 * attention.stored_training_flops(nest, 0, width, 0, 0) == 4 * nominal
    assert attention.stored_training_flops(nest, 0, width, 6, 1) == 4 * nominal // 3 + 21
    embedding = attention.linear_flops(4 * 64, 12, width)
    assert attention.stored_training_flops(nest, 12, width, 0, 0) == 4 * nominal // 3 + 3 * embedding


def test_one_stage_is_recomputed_or_stored_alike_for_a_label():
    nest = Nesting(4, 64, 1, 1, 2, 1)
    assert attention.stored_training_flops(nest, 12, 8, 0, 5) == attention.recomputed_training_flops(nest, 12, 8, 0, 5)


@pytest.mark.parametrize(
    ("shape", "side", "expected"), [((4096, 4096), 128, (32, 32)), ((100, 300), 64, (2, 5)), ((1, 1), 64, (1, 1))]
)
def test_windows_cover_the_image(shape, side, expected):
    rows, columns = attention.windows_covering(*shape, side)
    assert (rows, columns) == expected
    assert (rows - 1) * side < shape[0] <= rows * side
    assert (columns - 1) * side < shape[1] <= columns * side


def test_an_attention_matrix_at_4096_pixels_is_256_gibibytes():
    assert_identity(attention.attention_matrix_bytes(512**2) / 2**30, 256)
    nested = 1024 * attention.attention_matrix_bytes(257) + attention.attention_matrix_bytes(1024)
    assert round(nested / 2**20) == 262
