import json

import numpy as np
import pytest
from tests.tolerances import SINGLE

from theodolite.coverage.audit import audit_coverage
from theodolite.coverage.result import CoverageResult
from theodolite.data.digits import digits, split
from theodolite.kernel.errors import DataError, UsageError


def _plane(rng, n, missing):
    """A standard normal, and a share of the samples in a mode of its own."""
    away = rng.random(n) < missing
    return rng.normal(0, 1, (n, 2)) + 6.0 * away[:, None], away


@pytest.fixture(scope="module")
def dropped():
    """A generator that dropped a mode of 12%, audited; and which reals belong to the mode."""
    rng = np.random.default_rng(0)
    real, away = _plane(rng, 600, 0.12)
    fake = rng.normal(0, 1, (4000, 2))
    return audit_coverage(real, fake), away, real, fake


def test_a_dropped_mode_is_named_sample_by_sample(dropped):
    result, away, _, _ = dropped
    assert result.missed[away].mean() > 0.9
    assert (result.missed & ~away).sum() / result.missed.sum() <= result.alpha
    assert result.discriminator[away].min() > result.discriminator[~away].mean()
    assert result.p_values[result.missed].max() < result.p_values[~result.missed].min() + SINGLE


def test_numbers_stand_on_the_right_side_of_the_truth(dropped):
    result, away, _, _ = dropped
    truth = 0.12  # the mode's weight: missed mass, and total variation too
    assert 0 < result.missed_mass.lower <= truth
    assert 0 < result.total_variation.lower <= truth
    assert abs(result.missed_mass.estimate - away.mean()) < 2 * result.missed_mass.uncertainty
    assert result.coverage.upper == 1 - result.missed_mass.lower >= 1 - truth
    assert result.overlap.upper >= 1 - truth
    assert result.fidelity.estimate > 0.98
    assert result.precision_recall.recall.max() >= 1 - truth
    assert 0.5 < result.auc < 0.5 + truth


def test_nearest_is_the_nearest(dropped):
    result, _, real, fake = dropped
    for place in (0, 17, 599):
        assert result.nearest[place] == np.argmin(np.linalg.norm(fake - real[place], axis=1))


def test_result_is_frozen_and_equal_after_json(dropped):
    result = dropped[0]
    assert CoverageResult.model_validate_json(result.model_dump_json()) == result
    assert json.loads(result.model_dump_json())["missed"][0] in (True, False)
    with pytest.raises(ValueError, match="read-only"):
        result.missed[0] = True
    assert result != result.model_copy(update={"seed": 1})


def test_the_same_seed_gives_the_same_result(dropped):
    _, _, real, fake = dropped
    assert audit_coverage(real[:100], fake[:300], seed=3) == audit_coverage(real[:100], fake[:300], seed=3)


def test_identical_distributions_are_left_in_peace():
    for seed in range(3):
        rng = np.random.default_rng([seed, 7])
        result = audit_coverage(rng.normal(0, 1, (300, 8)), rng.normal(0, 1, (3000, 8)), seed=seed)
        assert result.missed.sum() == 0
        assert result.missed_mass.lower == 0
        assert result.total_variation.estimate < 0.1
        assert abs(result.auc - 0.5) < 0.1


def test_a_function_is_asked_for_as_many_samples_as_are_needed():
    asked = []

    def generator(count):
        asked.append(count)
        return np.random.default_rng(0).normal(0, 1, (count, 1))

    result = audit_coverage(np.random.default_rng(1).normal(0, 1, (60, 1)), generator, tau=0.5, alpha=0.4)
    assert asked == [result.fakes]
    assert result.smallest_nameable_mass == 1 / 30  # one real of a half is the least there is


def test_a_memoriser_is_perfect_on_its_train_set_only():
    """It replays T with a little noise. In eight dimensions held-out reals are then far from all it makes."""
    rng = np.random.default_rng(2)
    train, real = rng.normal(0, 1, (300, 8)), rng.normal(0, 1, (300, 8))
    fake = train[rng.integers(0, 300, 3000)] + rng.normal(0, 0.02, (3000, 8))
    gap = audit_coverage(real, fake, train=train).train_gap
    assert gap.overlap_train > 0.85
    assert gap.gap - gap.uncertainty > 0.3
    assert gap.closer - gap.closer_uncertainty > 0.9
    honest = audit_coverage(real, rng.normal(0, 1, (3000, 8)), train=train).train_gap
    assert abs(honest.gap) <= 2 * honest.uncertainty + 0.05
    assert abs(honest.closer - 0.5) <= 1.5 * honest.closer_uncertainty


def test_digits_without_a_class():
    """Real scans on both sides; those of 0 are kept from the "generator"."""
    images, labels = digits()
    rest, held_out = split(len(images), 1 / 3, 0)
    result = audit_coverage(images[held_out], images[rest[labels[rest] != 0]], tau=0.3, alpha=0.2)
    zeros = labels[held_out] == 0
    assert result.missed[zeros].mean() > 0.5
    assert (result.missed & ~zeros).sum() / result.missed.sum() <= 0.2
    assert 0 < result.missed_mass.lower <= zeros.mean()


def test_what_is_trivially_told_apart_is_warned_of():
    rng = np.random.default_rng(3)
    whole, fractions = rng.integers(0, 16, (200, 6)), rng.uniform(0, 16, (600, 6)) + 100
    warnings = " ".join(audit_coverage(whole, fractions).warnings)
    assert "fractions" in warnings
    assert "almost perfectly" in warnings
    assert "\n" not in warnings


def test_real_samples_that_were_trained_on_are_warned_of():
    rng = np.random.default_rng(5)
    real, fake = rng.normal(size=(60, 2)), rng.normal(size=(150, 2))
    train = np.concatenate([rng.normal(size=(50, 2)), real[:7]])
    warnings = " ".join(audit_coverage(real, fake, train=train).warnings)
    assert "7 of the real samples occur in the train set" in warnings
    assert "train set" not in " ".join(audit_coverage(real, fake, train=train[:50]).warnings)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"tau": 0}, UsageError, "tau"),
        ({"alpha": 1}, UsageError, "alpha"),
        ({"confidence": 0.2}, UsageError, "confidence"),
        ({"real": np.zeros((1, 2))}, DataError, "real samples are 1"),
        ({"fake": np.zeros((50, 3))}, DataError, "shape"),
        ({"fake": np.full((50, 2), np.nan)}, DataError, "NaN"),
        ({"fake": lambda count: np.zeros((3, 2))}, DataError, "generated samples are 3"),
        ({"train": np.zeros((50, 3))}, DataError, "train set"),
        ({"discriminator": lambda x: np.zeros(3)}, DataError, "discriminator"),
    ],
)
def test_bad_input_is_one_line(change, error, words):
    rng = np.random.default_rng(4)
    given = {"real": rng.normal(size=(60, 2)), "fake": rng.normal(size=(60, 2)), **change}
    with pytest.raises(error, match=words) as raised:
        audit_coverage(**given)
    assert "\n" not in str(raised.value)


@pytest.mark.slow
def test_false_discoveries_of_the_whole_audit_over_many_seeds():
    """One mode dropped, one made at a quarter of its share; everything fitted anew each time."""
    proportions, exceeded, powers = [], [], []
    for seed in range(40):
        rng = np.random.default_rng([seed, 11])
        real, away = _plane(rng, 400, 0.1)
        rare = ~away & (rng.random(400) < 0.1)
        real = real - 6.0 * rare[:, None]
        fake = rng.normal(0, 1, (3000, 2)) - 6.0 * (rng.random(3000) < 0.025)[:, None]
        result = audit_coverage(real, fake, alpha=0.2, seed=seed)
        proportions.append((result.missed & ~away).sum() / max(result.missed.sum(), 1))
        powers.append(result.missed[away].mean())
        exceeded.append(result.missed_mass.lower > 0.1)
    assert np.mean(proportions) <= 0.2
    assert np.mean(powers) > 0.5
    assert np.mean(exceeded) <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 40)
