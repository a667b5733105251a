import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from tests.tolerances import assert_trend
from torch.autograd.graph import saved_tensors_hooks

from theodolite.theory import memory
from theodolite.theory.attention import Nesting


def bytes_saved(work, *parameters):
    """What autograd saves in `work`, each storage once, parameters not."""
    own = {parameter.untyped_storage().data_ptr() for parameter in parameters}
    saved = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        kept = work()
    assert kept.requires_grad
    return sum(saved.values())


@pytest.mark.parametrize(("tokens", "width", "heads"), [(7, 8, 2), (33, 16, 4)])
def test_a_layer_keeps_what_autograd_saves(tokens, width, heads):
    weights = [torch.randn(width, outputs) * 0.1 for outputs in (3 * width, width, 4 * width)]
    weights.append(torch.randn(4 * width, width) * 0.1)
    for weight in weights:
        weight.requires_grad_()

    def layer():
        x = torch.randn(1, tokens, width, requires_grad=True)
        normed = F.layer_norm(x, (width,), weight=torch.ones(width), bias=None)
        q, k, v = F.linear(normed, weights[0].T).reshape(1, tokens, 3, heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(1, tokens, width)
        x = x + F.linear(mixed, weights[1].T)
        hidden = F.linear(F.layer_norm(x, (width,)), weights[2].T)
        return x + F.linear(F.gelu(hidden), weights[3].T)

    ones = memory.FLOAT32 * width  # the norm's weight, which is no activation
    assert bytes_saved(layer, *weights) - ones == memory.layer_kept_bytes(tokens, width, heads)


def test_materialised_weights_grow_with_the_square_of_the_tokens():
    tokens = [1024, 2048, 4096]
    more = [memory.materialised_layer_kept_bytes(n, 64, 4) - memory.layer_kept_bytes(n, 64, 4) for n in tokens]
    assert_trend(tokens, more, slope=2, band=0.01)


@given(windows=st.integers(16, 10**5))
def test_a_chunk_keeps_the_same_whatever_the_image(windows):
    small, large = (Nesting(K, 64, 1, 2, 2, 1) for K in (16, windows))
    assert memory.chunk_kept_bytes(small, 192, 64, 4, 16) == memory.chunk_kept_bytes(large, 192, 64, 4, 16)
    assert memory.chunk_kept_bytes(large, 192, 64, 4, 16) <= memory.nested_kept_bytes(large, 192, 64, 4)


def test_all_windows_as_one_chunk_keep_what_ordinary_autograd_does_locally():
    nest = Nesting(9, 16, 2, 3, 2, 0)
    assert memory.chunk_kept_bytes(nest, 48, 8, 2, 9) == memory.nested_kept_bytes(nest, 48, 8, 2)


def test_one_window_without_region_tokens_keeps_what_a_plain_network_does():
    assert memory.nested_kept_bytes(Nesting(1, 64, 0, 1, 3, 1), 48, 8, 2) == memory.vit_kept_bytes(64, 48, 8, 2, 3)


def test_a_stored_stage_keeps_what_a_chunk_of_one_stage_does():
    nest = Nesting(9, 16, 2, 3, 2, 1)
    stages = [memory.stage_kept_bytes(nest._replace(stages=S), 48, 8, 2, 4) for S in (1, 3)]
    assert stages[0] == stages[1] == memory.chunk_kept_bytes(nest._replace(stages=1), 48, 8, 2, 4)
    layers = memory.chunk_kept_bytes(nest, 0, 8, 2, 4)
    assert layers == 3 * memory.stage_kept_bytes(nest, 0, 8, 2, 4)


def test_region_tokens_are_few_beside_patches():
    nest = Nesting(4096, 64, 1, 2, 2, 2)
    assert memory.region_bytes(nest, 64) == 4 * 4096 * 64
    assert memory.stored_bytes(nest, 64, 2) == 2 * 64 * memory.region_bytes(nest, 64)
    assert round(memory.stored_bytes(Nesting(1024, 256, 1, 6, 2, 1), 192, 1) / 1e6) == 201  # 4096 px


def test_dropout_keeps_its_masks():
    def layer():
        x = torch.randn(5, 8, requires_grad=True)
        return x.masked_fill(torch.rand(5, 8) < 0.5, 0).masked_fill(torch.rand(5, 8) < 0.5, 0)

    assert bytes_saved(layer) == memory.masks_kept_bytes(5, 8, 1)


@pytest.mark.parametrize("classes", [1, 2, 7])
def test_the_loss_of_pixels_keeps_what_autograd_saves(classes):
    def loss():
        if classes == 1:
            logits, truth = torch.randn(50, requires_grad=True) * 2, torch.rand(50) < 0.5
            told = F.binary_cross_entropy_with_logits(logits, truth.float(), reduction="none")
            return told.masked_fill(torch.rand(50) < 0.1, 0).sum()
        logits = torch.randn(50, classes, requires_grad=True)
        return F.cross_entropy(logits, torch.randint(0, classes, (50,)), reduction="none").sum()

    weight = memory.FLOAT32 * (classes > 1)  # one number, the sum of weights
    assert bytes_saved(loss) - weight == memory.pixel_loss_kept_bytes(50, classes)


def test_a_phase_peaks_in_its_loss_or_in_its_last_mlp():
    assert memory.phase_peak_bytes(5000, 100, 30) == 5000 + 500
    assert memory.phase_peak_bytes(5000, 100, 700) == 5000 + 800
    assert memory.phase_peak_bytes(5000, 100, 30, times=6) == 5000 + 600
    assert memory.phase_peak_bytes(5000, 100, times=0) == 5100


def test_a_step_never_peaks_below_two_gradients():
    fixed = {"regions": 7, "parameters": 1000, "resident": 20}
    assert memory.step_peak_bytes(5000, **fixed) == 3000 + 27 + 5000
    assert memory.step_peak_bytes(0, **fixed) == 3000 + 27 + 2000


def test_materialised_attention_keeps_a_number_for_each_entry_instead_of_one_for_each_token():
    nest = Nesting(9, 16, 2, 3, 2, 1)
    fused, whole = (memory.nested_kept_bytes(nest, 48, 8, 2, fused=each) for each in (True, False))
    entries = 2 * 3 * (2 * 9 * 18 * 17 + 18 * 17)
    assert whole - fused == memory.FLOAT32 * entries
    plain = [memory.vit_kept_bytes(64, 48, 8, 2, 3, fused=each) for each in (True, False)]
    assert plain[1] - plain[0] == memory.FLOAT32 * 2 * 3 * 64 * 63


def test_reading_keeps_two_vectors_and_two_numbers_a_token():
    norm, head = torch.nn.LayerNorm(8), torch.nn.Linear(8, 3)
    saved = bytes_saved(
        lambda: head(norm(torch.randn(5, 8, requires_grad=True))), *norm.parameters(), *head.parameters()
    )
    assert saved == memory.reading_kept_bytes(5, 8)
