"""What an audit does with samples that are no good: a clear line, or a right answer with a warning."""

import warnings

import numpy as np
import pytest

from theodolite.coverage.audit import audit_coverage
from theodolite.coverage.words import coverage_sentences
from theodolite.kernel.errors import DataError

RNG = np.random.default_rng(0)
REAL, FAKE = RNG.normal(size=(60, 3)), RNG.normal(size=(200, 3))


def spoilt(samples, value, row=7):
    copy = samples.copy()
    copy[row, 1] = value
    return copy


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"real": spoilt(REAL, np.nan)},
            "the real samples hold NaN or infinity in 1 of 60 samples, the first is number 7",
        ),
        ({"fake": spoilt(FAKE, -np.inf)}, "the generated samples hold NaN or infinity in 1 of 200"),
        ({"real": spoilt(REAL, 1e200)}, "whose squares overflow"),
        ({"real": REAL[:1]}, "the real samples are 1; at least 40"),
        ({"fake": FAKE[:1]}, "the generated samples are 1; at least 40"),
        ({"real": np.zeros((0, 3))}, "the real samples are empty"),
        ({"real": np.zeros(())}, "the real samples are empty"),
        ({"real": REAL[:, :2]}, "give both in one shape"),
        ({"train": REAL[:, :2]}, "give both in one shape"),
        ({"fake": np.array([["a"] * 3] * 50)}, "plain numbers are needed"),
        ({"groups": np.arange(59)}, "one label is needed for each of 60"),
        ({"features": (REAL, FAKE[:-1])}, "199 rows for 200 samples"),
    ],
)
def test_what_cannot_be_audited_is_one_line(change, words):
    with pytest.raises(DataError, match=words) as raised:
        audit_coverage(**{"real": REAL, "fake": FAKE, **change})
    assert "\n" not in str(raised.value)


def told(result):
    return " ".join(result.warnings)


def test_far_more_reals_than_fakes_names_nothing_and_says_so():
    result = audit_coverage(RNG.normal(size=(900, 2)), RNG.normal(size=(45, 2)))
    assert result.missed.sum() == 0
    assert np.isinf(result.smallest_nameable_mass)
    assert "generate more" in told(result)


def test_far_more_fakes_than_reals_is_fine():
    result = audit_coverage(RNG.normal(size=(45, 2)), RNG.normal(size=(9000, 2)))
    assert result.missed.sum() == 0
    assert result.missed_mass.lower == 0


def test_samples_that_do_not_vary_are_the_same():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = audit_coverage(np.ones((60, 3)), np.ones((200, 3)))
    assert result.missed.sum() == 0
    assert result.missed_mass.lower == result.total_variation.lower == 0
    assert result.landscape is None
    assert "repeat others" in told(result)


def test_a_column_that_differs_by_a_constant_tells_all_apart_and_is_warned_of():
    real, fake = np.c_[REAL, np.zeros(60)], np.c_[FAKE, np.ones(200)]
    result = audit_coverage(real, fake, tau=1.0, alpha=0.5)
    assert result.auc > 0.99
    assert "almost perfectly" in told(result)
    assert "feature space" in told(result)


def test_ties_are_never_named():
    """Coin tosses on both sides: thousands of equal samples."""
    real, fake = RNG.integers(0, 2, (300, 2)), RNG.integers(0, 2, (3000, 2))
    result = audit_coverage(real, fake)
    assert result.missed.sum() == 0
    assert result.missed_mass.lower == 0
    assert "occur among the generated ones too" in told(result)


def test_a_generator_that_copies_audited_reals_is_warned_of():
    fake = np.concatenate([FAKE, REAL[:20]])
    assert "20 of the real samples occur among the generated ones" in told(audit_coverage(REAL, fake))


def test_memory_maps_give_what_arrays_give(tmp_path):
    np.save(tmp_path / "r.npy", REAL)
    np.save(tmp_path / "f.npy", FAKE)
    mapped = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "rf")
    labels = np.arange(60) % 2
    assert audit_coverage(*mapped, groups=labels, seed=2) == audit_coverage(REAL, FAKE, groups=labels, seed=2)


def test_a_generator_that_makes_few_different_samples_is_audited_without_a_stray_warning():
    """More clusters were asked for than there are points; the fits run in threads, where no warning can be caught."""
    real = RNG.integers(0, 2, (300, 2)).astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = audit_coverage(real, np.repeat(real[:3], 300, axis=0))
    assert "occur among the generated ones too" in told(result)


@pytest.mark.parametrize("shape", [(3,), (12, 12)])
def test_a_generator_that_makes_one_thing_misses_all_else_and_is_warned_of(shape):
    """Equal images differ by rounding after a convolution, which once ended in a singular matrix."""
    result = audit_coverage(RNG.normal(size=(100, *shape)), np.repeat(RNG.normal(size=(1, *shape)), 900, axis=0))
    assert result.missed.all()
    assert "899 of 900 generated samples repeat others" in told(result)
    assert "almost perfectly" not in told(result)


def test_of_few_reals_no_share_is_promised_that_holds_none_of_them():
    result = audit_coverage(RNG.normal(size=(45, 3)), RNG.normal(size=(4000, 3)))
    assert "would let you see" not in " ".join(coverage_sentences(result))


def test_many_more_columns_than_samples_are_audited():
    rng = np.random.default_rng(1)
    result = audit_coverage(rng.normal(size=(60, 2000)), rng.normal(size=(200, 2000)))
    assert result.missed.sum() == 0
    assert result.missed_mass.lower == 0
