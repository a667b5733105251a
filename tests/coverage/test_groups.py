"""Groups: they are found, they are certified, and certificates do not exceed the truth."""

import numpy as np
import pytest
from tests.tolerances import FOUR_STANDARD_ERRORS

from theodolite.coverage.clusters import AXES, split
from theodolite.coverage.folds import Folds
from theodolite.coverage.groups import _Part, check_groups, find_groups
from theodolite.coverage.heldout import HeldOut
from theodolite.coverage.missed import name_missed
from theodolite.kernel.errors import DataError, UsageError
from theodolite.theory.coverage import clopper_pearson_lower

TAU, ALPHA, CONFIDENCE = 0.1, 0.2, 0.9
AWAY = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0], [-9.0, 0.0]])
SHARES = np.array(
    [0.7, 0.12, 0.08, 0.1]
)  # of the data: two modes are dropped, the last is made at a fifth of its share


def modes(rng, count, shares):
    which = rng.choice(len(AWAY), size=count, p=shares / shares.sum())
    return AWAY[which] + rng.normal(0, 1, (count, 2)), which


def scored(rng, real, fake, folds, score):
    """Held-out scores as an audit makes them, with a score that needs no fitting."""

    def of(rows):
        return score(rows) + rng.normal(0, 0.01, len(rows))

    return tuple(
        HeldOut(
            real=of(real[tested]),
            fake=of(fake[folds.calibration]),
            training_real=of(real[fitted]),
            training_fake=of(fake[folds.training]),
        )
        for tested, fitted in (folds.reals, folds.reals[::-1])
    )


def near_dropped(rows):
    """High in both dropped modes, and a little raised in the rare one."""
    near = np.exp(-0.5 * ((rows[:, None] - AWAY) ** 2).sum(axis=2) / 4)
    return 8 * (near[:, 1] + near[:, 2]) + 1.5 * near[:, 3] - 1


def grouped(seed, score=near_dropped, n=900, m=6000):
    rng = np.random.default_rng([seed, 21])
    real, which = modes(rng, n, SHARES)
    fake, _ = modes(rng, m, np.array([0.7, 0.0, 0.0, 0.02]))
    folds = Folds.draw(n, m, seed)
    fits = scored(rng, real, fake, folds, score)
    missed = name_missed(fits, folds.reals, TAU, ALPHA)[0]
    names = np.array(["middle", "right", "top", "left"])[which]
    return (*find_groups(fits, folds, real, fake, names, missed, TAU, CONFIDENCE), missed, which)


@pytest.fixture(scope="module")
def found():
    return grouped(0)


def test_two_dropped_modes_are_two_clusters_the_larger_first(found):
    groups, cluster, missed, which = found
    clusters = [group for group in groups if group.kind == "cluster"]
    assert [group.name for group in clusters] == ["group 1", "group 2"]
    assert clusters[0].named >= clusters[1].named > 0
    assert (cluster[missed] >= 0).all()
    assert (cluster[~missed] == -1).all()
    for place, mode in ((0, 1), (1, 2)):
        assert (which[cluster == place] == mode).mean() > 0.9
        assert 0 < clusters[place].missed_mass.lower <= SHARES[mode]
        assert abs(clusters[place].missed_mass.estimate - SHARES[mode]) < 0.04
    assert sum(group.named for group in clusters) == missed.sum()


def test_labels_that_are_missed_are_certified_and_others_are_not(found):
    labels = {group.name: group for group in found[0] if group.kind == "label"}
    assert list(labels) == ["left", "middle", "right", "top"]
    assert labels["right"].missed_mass.lower > 0.05
    assert labels["top"].missed_mass.lower > 0.02
    assert labels["middle"].missed_mass.lower == labels["left"].missed_mass.lower == 0
    assert labels["right"].samples == (found[3] == 1).sum()


def test_examples_are_named_and_of_the_group(found):
    groups, cluster, missed, _ = found
    for place, group in enumerate(group for group in groups if group.kind == "cluster"):
        assert 0 < len(group.examples) <= 8
        assert missed[list(group.examples)].all()
        assert (cluster[list(group.examples)] == place).all()


def test_a_cluster_too_small_for_a_certificate_takes_no_error_from_the_others(monkeypatch):
    """With few fakes a bound above 0 takes more than the smaller mode has; the larger one is certified as if alone."""
    groups = grouped(0, n=700, m=1000)[0]
    clusters = [group for group in groups if group.kind == "cluster"]
    right, top = (group.missed_mass for group in clusters)
    assert right.lower > 0
    assert top.lower == 0 < top.estimate
    monkeypatch.setattr(_Part, "promises", lambda *_: True)
    all_share = [group for group in grouped(0, n=700, m=1000)[0] if group.kind == "cluster"]
    assert all_share[0].missed_mass.lower < right.lower
    assert top.lower == all_share[1].missed_mass.lower == 0


@pytest.mark.parametrize("kind", ["good", "noise", "misleading"])
def test_all_certificates_hold_together_whatever_the_score(kind):
    """The share of runs in which any group's bound exceeds its truth is at most 1 − confidence."""
    scores = {
        "good": near_dropped,
        "noise": lambda rows: np.sin(1e4 * rows[:, 0]) * 5,
        "misleading": lambda rows: -np.abs(rows[:, 0]) + 3,
    }
    truth = {"left": 0.0, "middle": 0.0, "right": SHARES[1], "top": SHARES[2]}
    exceeded = 0
    runs = 40
    for seed in range(runs):
        groups = grouped(seed, scores[kind], n=400, m=2500)[0]
        # a cell may hold no more than all that is missed
        exceeded += any(group.missed_mass.lower > truth.get(group.name, SHARES[1] + SHARES[2]) for group in groups)
    assert clopper_pearson_lower(exceeded, runs, 1 - FOUR_STANDARD_ERRORS) <= 1 - CONFIDENCE


def test_where_nothing_is_named_only_labels_are_left():
    groups = grouped(3, lambda rows: rows[:, 1] * 0)[0]
    assert {group.kind for group in groups} == {"label"}
    assert all(group.missed_mass.lower == 0 for group in groups)


def test_splitting_finds_blobs_and_leaves_one_alone():
    rng = np.random.default_rng(0)
    blobs = np.concatenate([rng.normal(centre, 1, (60, 3)) for centre in (0, 8, 16)])
    parts = split(blobs)
    assert sorted(len(part) for part in parts) == [60, 60, 60]
    assert sorted(np.concatenate(parts).tolist()) == list(range(180))
    for alone in (rng.normal(0, 1, (200, 2)), rng.uniform(0, 1, (200, 1)), rng.normal(0, [9, 1], (200, 2))):
        assert len(split(alone)) == 1
    assert len(split(np.zeros((50, 2)))) == 1
    assert len(split(rng.normal(0, 1, (3, 2)))) == 1


@pytest.mark.parametrize("count", [20, 30, 60, 200])
def test_few_points_of_one_gaussian_are_hardly_ever_split(count):
    rng = np.random.default_rng(count)
    splits = sum(len(split(rng.normal(size=(count, AXES)))) > 1 for _ in range(100))
    assert clopper_pearson_lower(splits, 100, 1 - FOUR_STANDARD_ERRORS) <= 0.01


@pytest.mark.parametrize(
    ("labels", "error", "words"),
    [
        (np.zeros(5), DataError, "one label is needed for each of 6"),
        (np.zeros((6, 2)), DataError, "shape"),
        (np.array([0, 1, np.nan, 1, 1, 1]), DataError, "none may be missing"),
        (np.array([None] * 6), DataError, "whole numbers or words"),
    ],
)
def test_bad_labels_are_one_line(labels, error, words):
    with pytest.raises(error, match=words) as raised:
        check_groups(labels, 6)
    assert "\n" not in str(raised.value)


def test_too_many_labels_are_refused():
    with pytest.raises(UsageError, match="2,000 different labels"):
        check_groups(np.arange(2000), 2000)
