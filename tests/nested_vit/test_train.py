import pytest
import torch
from safetensors.torch import load_file
from tests.nested_vit.small import SMALL, canvases, configured, taught, trained
from tests.tolerances import assert_identity, assert_single

from theodolite.kernel.errors import DivergedError, UsageError
from theodolite.nested_vit.config import NestedViTConfig, NestedViTTraining
from theodolite.nested_vit.lessons import cross_entropy
from theodolite.nested_vit.samples import images_of, truth_of
from theodolite.nested_vit.train import TwinsTask, lesson_at, train

TOGETHER = {"digits_share": 0.0, "twins_share": 0.0}


def test_lessons_follow_each_other_and_fill_the_steps():
    config = configured(digits_share=0.5, twins_share=0.3)
    lessons = [lesson_at(number, 10, config) for number in range(10)]
    assert [lesson for lesson, _, _ in lessons] == ["digits"] * 5 + ["twins"] * 3 + ["target"] * 2
    assert [number for _, number, _ in lessons] == [0, 1, 2, 3, 4, 0, 1, 2, 0, 1]
    assert [length for _, _, length in lessons] == [5] * 5 + [3] * 3 + [2] * 2


@pytest.mark.parametrize("shares", [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.42, 0.46)])
@pytest.mark.parametrize("total", [1, 2, 3, 100])
def test_every_step_has_a_lesson_whatever_the_shares(shares, total):
    config = configured(digits_share=shares[0], twins_share=shares[1])
    for number in range(total):
        _, place, length = lesson_at(number, total, config)
        assert 0 <= place < length


@pytest.mark.parametrize(("lesson", "moved"), [(0, "local_blocks.0"), (1, "global_blocks.0"), (2, "local_blocks.1")])
def test_a_lesson_moves_what_it_teaches(tmp_path, lesson, moved):
    shares = {"digits_share": float(lesson == 0), "twins_share": float(lesson == 1)}
    run = trained(tmp_path / "run", steps=1, batch_size=2, **shares)
    config = NestedViTConfig(**SMALL)
    before = TwinsTask(config, NestedViTTraining()).networks["lessons"].state_dict()
    after = load_file(run.weights)
    changed = {name for name, value in before.items() if not torch.equal(value, after[f"lessons.{name}"])}
    assert any(moved in name for name in changed)
    if lesson == 0:
        assert not any("global" in name or "local_blocks.1" in name or "network.head" in name for name in changed)
    if lesson == 1:
        assert all("global_blocks.0" in name or "twins" in name for name in changed)


def test_the_digits_lesson_is_the_loss_of_windows_that_hold_one_canvas_by_canvas():
    config = configured()
    lessons = taught(config, torch.float32)
    drawn = canvases(config)
    truth = truth_of(config, drawn)
    said, held = lessons.digits(lessons.network.forward_features(images_of(drawn.ink)).left[0]), truth.digits.any(dim=1)
    loss, _ = lessons(images_of(drawn.ink), truth, "digits")
    of_canvases = []
    for canvas in range(2):
        windows = slice(canvas * 16, canvas * 16 + 16)
        kept = held[windows]
        of_canvases.append(float(cross_entropy(said[windows][kept], truth.digits[windows][kept]).detach()))
    assert_single(float(loss.detach()), sum(of_canvases) / 2)


@pytest.mark.parametrize("fields", [{}, {"size": 50}])
def test_the_twins_lesson_is_exact_although_equal_windows_are_computed_once(fields):
    config = configured(**fields)
    lessons = taught(config, torch.float32)
    drawn = canvases(config)
    truth = truth_of(config, drawn)
    loss, _ = lessons(images_of(drawn.ink), truth, "twins")
    said = lessons.twins(lessons.network.forward_features(images_of(drawn.ink)).entered[0])
    assert_single(float(loss.detach()), float(cross_entropy(said, truth.twins).detach()))


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_training_by_chunks_is_training(tmp_path, dropout):
    runs = [
        trained(
            tmp_path / kind,
            steps=3,
            gradients=kind,
            precision="64-true",
            learning_rate=1e-3,
            dropout=dropout,
            **TOGETHER,
        )
        for kind in ("ordinary", "recomputed", "stored")
    ]
    weights, *others = (load_file(run.weights) for run in runs)
    for other in others:
        for name, value in weights.items():
            assert_single(other[name], value)
    losses = [[row["loss"] for row in run.metrics()] for run in runs]
    assert_identity(losses[0], losses[1])
    assert_identity(losses[0], losses[2])
    assert not list(runs[2].path.glob("theodolite-boundary-*"))


@pytest.mark.parametrize("dropout", [0.1])
def test_every_lesson_trains_with_dropout(tmp_path, dropout):
    run = trained(tmp_path / "run", steps=6, dropout=dropout, digits_share=0.34, twins_share=0.33, log_every=1)
    assert {"digits", "twins", "target"} <= set().union(*run.metrics())


def test_a_budget_chooses_for_the_batch(tmp_path):
    runs = [
        trained(tmp_path / name, steps=2, batch_size=4, precision="64-true", memory=memory, **TOGETHER)
        for name, memory in (("tight", "1.5MiB"), ("wide", None))
    ]
    for name, value in load_file(runs[0].weights).items():
        assert_single(load_file(runs[1].weights)[name], value)


def test_other_classes_than_the_twins_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"classes=5: the twins task has 1; leave --classes out"):
        trained(tmp_path / "run", classes=5)


def test_more_steps_lower_the_loss_of_recognition(tmp_path):
    run = trained(tmp_path / "run", steps=60, batch_size=4, digits_share=1.0, twins_share=0.0, learning_rate=3e-3)
    losses = [row["digits"] for row in run.metrics()]
    assert losses[-1] < 0.8 * losses[0]


def test_the_same_seed_gives_the_same_weights_and_another_does_not(tmp_path):
    first, again, other = (
        load_file(trained(tmp_path / name, steps=2, seed=seed, **TOGETHER).weights)
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_a_rate_too_high_ends_in_words(tmp_path):
    with pytest.raises(DivergedError, match=r"the loss is nan at step .*lower --learning-rate"):
        trained(tmp_path / "run", steps=40, learning_rate=1e30, **TOGETHER)


@pytest.mark.parametrize("kind", ["label", "dense"])
def test_both_targets_train(tmp_path, kind):
    run = trained(tmp_path / "run", steps=2, target=kind, **TOGETHER)
    config, training = run.settings(NestedViTConfig), run.settings(NestedViTTraining)
    train(config, training, run)  # from its checkpoint: nothing is left to do
    assert run.metrics()[-1]["step"] == 1
    assert {"target", "digits", "twins", "held_out_iou"} <= set(run.metrics()[-1])
