import numpy as np
import pytest
from tests.tolerances import assert_identity

from theodolite.coverage.audit import audit_coverage
from theodolite.coverage.features import BLOCK, embed
from theodolite.kernel.errors import DataError, UsageError

RNG = np.random.default_rng(0)
REAL, FAKE, TRAIN = RNG.normal(2, 5, (60, 3)), RNG.normal(2, 5, (3 * BLOCK, 3)), RNG.normal(2, 5, (50, 3))
FITTING = np.arange(500)


def test_raw_is_what_came():
    for features in (None, "raw", ""):
        seen = embed(features, REAL, FAKE, TRAIN, FITTING, 0)
        assert seen.real is REAL
        assert seen.fake is FAKE
        assert seen.train is TRAIN
        assert seen.name == "raw"


def test_standard_units_are_those_of_the_fakes_that_fit():
    seen = embed("standardised", REAL, FAKE, TRAIN, FITTING, 0)
    assert_identity(seen.fake[FITTING].mean(axis=0), np.zeros(3))
    assert_identity(seen.fake[FITTING].std(axis=0), np.ones(3))
    assert_identity(seen.real * FAKE[FITTING].std(axis=0) + FAKE[FITTING].mean(axis=0), REAL)
    # nothing of what is tested or calibrates has a say
    other = embed("standardised", 7 * REAL, np.concatenate([FAKE[:500], 9 * FAKE[500:]]), None, FITTING, 0)
    np.testing.assert_array_equal(other.fake[FITTING], seen.fake[FITTING])
    constant = embed("standardised", np.ones((5, 2)), np.ones((600, 2)), None, FITTING, 0)
    assert (constant.real == 0).all()


def test_a_function_sees_all_samples_in_one_random_order():
    calls = []

    def double(samples):
        calls.append(len(samples))
        return 2 * samples

    seen = embed(double, REAL, FAKE, TRAIN, FITTING, 0)
    np.testing.assert_array_equal(seen.real, 2 * REAL)
    np.testing.assert_array_equal(seen.fake, 2 * FAKE)
    np.testing.assert_array_equal(seen.train, 2 * TRAIN)
    assert max(calls) <= BLOCK
    assert seen.name == "double"


def test_features_from_files_have_the_rows_of_the_samples(tmp_path):
    np.save(tmp_path / "r.npy", REAL[:, :2])
    np.save(tmp_path / "f.npy", FAKE[:, :2])
    np.save(tmp_path / "t.npy", TRAIN[:, :2])
    names = [str(tmp_path / f"{name}.npy") for name in "rft"]
    seen = embed(",".join(names), REAL, FAKE, TRAIN, FITTING, 0)
    np.testing.assert_array_equal(seen.train, TRAIN[:, :2])
    assert embed(",".join(names[:2]), REAL, FAKE, None, FITTING, 0).train is None
    with pytest.raises(UsageError, match="2 arrays of features were given for 3 sets"):
        embed(",".join(names[:2]), REAL, FAKE, TRAIN, FITTING, 0)
    with pytest.raises(DataError, match="have 60 rows for 50 samples"):
        embed(",".join([names[0], names[1], names[0]]), REAL, FAKE, TRAIN, FITTING, 0)


def broken(change):
    def encoder(samples):
        return change(samples)

    return encoder


@pytest.mark.parametrize(
    ("features", "error", "words"),
    [
        ("no_such_thing", UsageError, "is nothing that is known; give raw"),
        ((REAL,), UsageError, "1 arrays of features"),
        ((REAL, FAKE[:-1]), DataError, "rows for"),
        ((REAL * np.nan, FAKE), DataError, "the features of the real samples hold NaN"),
        (broken(lambda x: x[:-1]), DataError, "one row of numbers for each"),
        (broken(lambda x: x[:, 0]), DataError, "one row of numbers for each"),
        (broken(lambda x: x * np.inf), DataError, "hold NaN or infinity"),
        (broken(lambda x: x - x.mean(axis=0)), DataError, "in other company"),
        (broken(lambda x: RNG.normal(size=x.shape)), DataError, "at random"),
    ],
)
def test_bad_features_are_one_line(features, error, words):
    with np.errstate(invalid="ignore"), pytest.raises(error, match=words) as raised:
        embed(features, REAL, FAKE, None, FITTING, 0)
    assert "\n" not in str(raised.value)


def test_an_audit_in_a_feature_space_sees_what_raw_pixels_hide():
    """What is missing shows in one feature of many columns of noise; a given discriminator still gets samples."""
    rng = np.random.default_rng(1)
    hidden = np.r_[np.zeros(350), np.full(50, 4.0)]
    real, fake = rng.normal(0, 1, (400, 40)), rng.normal(0, 1, (2500, 40))
    real[:, :20] += hidden[:, None] / np.sqrt(20)
    asked = []

    def discriminator(samples):
        asked.append(samples.shape[1:])
        return samples[:, 0]

    def feature(samples):
        return samples[:, :20].sum(axis=1, keepdims=True) / np.sqrt(20)

    result = audit_coverage(
        real, fake, tau=0.3, alpha=0.2, features=feature, discriminator=discriminator, groups=hidden > 0
    )
    assert result.features == "feature"
    assert set(asked) == {(40,)}
    assert result.missed[hidden > 0].mean() > 0.5
    assert result.calibration_of_given is not None
    assert {group.name: group for group in result.groups}["True"].missed_mass.lower > 0
    assert result.discriminator.shape == (400,)
