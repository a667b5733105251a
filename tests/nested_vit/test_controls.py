import numpy as np
import pytest
import torch
from tests.nested_vit.small import SMALL, configured
from tests.tolerances import assert_identity

from theodolite.kernel.errors import UsageError
from theodolite.nested_vit.config import NestedViTConfig
from theodolite.nested_vit.controls import CONTROLS, PlainLessons, PooledBlock
from theodolite.nested_vit.controls import taught as taught_by
from theodolite.nested_vit.evaluation import evaluate
from theodolite.nested_vit.lessons import DIGITS_WEIGHT, TWINS_WEIGHT
from theodolite.nested_vit.model import Block
from theodolite.nested_vit.samples import batch, source_of
from theodolite.nested_vit.train import optimizers

ROWS = {**SMALL, "data": "row-twins"}  # windows of 16 px


def rows(config, count=3, part="train"):
    return batch(source_of(config, 0, part), config, range(count))


def small(control, **fields):
    torch.manual_seed(0)
    return taught_by(control, NestedViTConfig(**{**ROWS, "size": 128, "patch": 8, **fields}))


@pytest.mark.parametrize("control", CONTROLS)
def test_every_control_says_as_much_as_the_network(control):
    lessons = small(control)
    images, truth = rows(NestedViTConfig(**{**ROWS, "size": 128}), 2)
    truth = truth._replace(digits=torch.ones(32, 6, dtype=torch.bool), twins=torch.ones(32, 1, dtype=torch.bool))
    marks, digits, twins = lessons.said(images)
    assert marks.shape == (2, 1, 128, 128)
    assert (digits.shape, twins.shape) == (truth.digits.shape, truth.twins.shape)
    seen = evaluate(lessons, NestedViTConfig(**{**ROWS, "size": 128, "patch": 8}), 0, 2)
    assert 0 <= seen.iou()[0] <= 1


@pytest.mark.parametrize("control", CONTROLS)
def test_a_lesson_moves_what_it_teaches_and_the_last_moves_all(control):
    lessons = small(control)
    images, truth = rows(NestedViTConfig(**{**ROWS, "size": 128, "patch": 8}), 2)
    named = dict(lessons.named_parameters())
    moved = optimizers(lessons, lessons.taught, 1e-3)
    for lesson, optimizer in moved.items():
        lessons.zero_grad()
        loss, _ = lessons(images, truth, lesson)
        loss.backward()
        held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        reached = {name for name, parameter in named.items() if parameter.grad is not None and parameter.grad.any()}
        assert reached
        assert all(id(named[name]) in held for name in reached)
        if lesson == "target":
            assert reached == set(named)


@pytest.mark.parametrize("control", ["vit-64", "vit-128", "vit-8"])
def test_the_loss_of_the_target_is_the_weighted_sum_of_three(control):
    lessons = small(control).double()
    images, truth = rows(NestedViTConfig(**{**ROWS, "size": 128, "patch": 8}), 2)
    loss, told = lessons(images, truth, "target")
    marks, digits, twins = (part.detach() for part in lessons.said(images))
    bce = torch.nn.BCEWithLogitsLoss()
    each = [
        bce(marks[:, 0], truth.target.double()),
        bce(digits, truth.digits.double()),
        bce(twins, truth.twins.double()),
    ]
    assert_identity([float(part.detach()) for part in told.values()], [float(part) for part in each])
    assert_identity(float(loss.detach()), float(each[0] + DIGITS_WEIGHT * each[1] + TWINS_WEIGHT * each[2]))


@pytest.mark.parametrize("patch", [4, 16, 32])
def test_windows_of_a_plain_network_are_read_where_they_lie(patch):
    """With no layers and no positions a window's answer depends on its own pixels, or on its patch's, alone."""
    config = configured()
    torch.manual_seed(0)
    lessons = PlainLessons(config, patch, (0, 0, 0)).double()
    images = torch.zeros(1, 3, 64, 64, dtype=torch.float64)
    before = lessons.said(images)
    images[..., 16:32, 32:48] = 1.0  # the window in row 1, column 2
    marks, digits, twins = (after - was for after, was in zip(lessons.said(images), before, strict=True))
    other = {6} if patch <= 16 else {2, 3, 6, 7}  # windows of that patch
    for changed in (digits, twins):
        assert set(changed.abs().amax(dim=1).nonzero()[:, 0].tolist()) == other
    side = max(patch, 16)
    rest = marks.clone()
    rest[..., 16 // side * side : 16 // side * side + side, 32 : 32 + side] = 0
    assert marks.any()
    assert not rest.any()


def test_a_pooled_layer_knows_the_others_by_their_mean_alone():
    torch.manual_seed(0)
    block = PooledBlock(16).double()
    tokens = torch.randn(2, 9, 16, dtype=torch.float64)
    order = [0, *(1 + torch.randperm(8)).tolist()]
    assert_identity(block(tokens)[:, 0].detach(), block(tokens[:, order])[:, 0].detach())
    values = block.values(block.norm_mean(tokens)).mean(dim=1, keepdim=True)
    mixed = tokens + block.project(values)
    assert_identity(
        block(tokens).detach(),
        (mixed + block.contract(torch.nn.functional.gelu(block.expand(block.norm_mlp(mixed))))).detach(),
    )
    with pytest.raises(UsageError, match="neither masks nor dropout"):
        block(tokens, torch.ones(2, 9, dtype=torch.bool))


def test_without_global_blocks_windows_answer_by_themselves():
    lessons = small("local", patch=4)
    config = NestedViTConfig(**{**ROWS, "size": 128})
    images, _ = rows(config, 1)
    other = images.clone()
    other[..., 64:] = 0
    for said, again in zip(lessons.said(images), lessons.said(other), strict=True):
        if said.ndim == 4:
            torch.testing.assert_close(said[..., :64], again[..., :64], rtol=0, atol=0)
    whole = small("nested", patch=4)
    assert not torch.equal(whole.said(images)[0][..., :64], whole.said(other)[0][..., :64])


@pytest.mark.parametrize(("patch", "fields"), [(48, {}), (8, {"size": 60}), (16, {"target": "label"})])
def test_patches_that_do_not_fit_are_refused_in_one_line(patch, fields):
    with pytest.raises(UsageError, match=f"a plain ViT-{patch} cannot mark canvases"):
        PlainLessons(configured(**fields), patch, (1, 2, 3))


class Oracle(torch.nn.Module):
    """Layers over tokens that are told the true digit and its place, and a reader of twins."""

    def __init__(self, kind):
        super().__init__()
        self.layers = torch.nn.ModuleList(Block(32, 4) if kind == "attention" else PooledBlock(32) for _ in range(2))
        self.digit, self.row = torch.nn.Embedding(6, 32), torch.nn.Embedding(4, 32)
        self.read = torch.nn.Linear(32, 1)

    def forward(self, digits):
        tokens = self.digit(digits) + self.row(torch.arange(16) // 4)
        for layer in self.layers:
            tokens = layer(tokens)
        return self.read(tokens)[..., 0]


def test_of_true_digits_attention_tells_twins_and_the_mean_of_all_does_not():
    rng = np.random.default_rng(0)
    shown = np.array([[rng.permutation(6)[[0, 0, 1, 2]] for _ in range(4)] for _ in range(4096)])
    shown = rng.permuted(shown, axis=2)
    has = (shown[..., None] == shown[..., None, :]).sum(axis=-1).reshape(-1, 16) == 2
    digits, has = torch.from_numpy(shown.reshape(-1, 16)), torch.from_numpy(has)
    right = {}
    for kind in ("attention", "mean"):
        torch.manual_seed(0)
        oracle = Oracle(kind)
        optimizer = torch.optim.AdamW(oracle.parameters(), 4e-3)
        for step in range(300):
            some = slice(64 * step % 3584, 64 * step % 3584 + 64)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(oracle(digits[some]), has[some].float())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            right[kind] = float(((oracle(digits[3584:]) > 0) == has[3584:]).float().mean())
    assert right["attention"] > 0.97
    assert right["mean"] < 0.75
