import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from tests.tolerances import FOUR_STANDARD_ERRORS, assert_sampling

from theodolite.engine.sampling import Batches, normal, permutation, philox, uniform, words

MASK = 0xFFFFFFFF
seeds = st.integers(0, 2**63 - 1)


def philox_by_hand(counter, key):
    """Salmon et al. 2011, section 3.3, one counter at a time in Python's unbounded integers."""
    (a, b, c, d), (k0, k1) = counter, key
    for _ in range(10):
        p, q = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = (q >> 32) ^ b ^ k0, q & MASK, (p >> 32) ^ d ^ k1, p & MASK
        k0, k1 = (k0 + 0x9E3779B9) & MASK, (k1 + 0xBB67AE85) & MASK
    return a, b, c, d


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [  # the published known answers of Random123
        ((0,) * 4, (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((MASK,) * 4, (MASK, MASK), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    ],
)
def test_known_answers(counter, key, expected):
    assert tuple(int(word) for word in philox([torch.tensor(c) for c in counter], key)) == expected


@given(st.tuples(*[st.integers(0, MASK)] * 4), st.tuples(*[st.integers(0, MASK)] * 2))
def test_equal_to_python_integers(counter, key):
    drawn = philox([torch.tensor(c) for c in counter], key)
    assert tuple(int(word) for word in drawn) == philox_by_hand(counter, key)


@settings(max_examples=25)
@given(seeds, st.integers(0, 2**31), st.integers(1, 9), st.integers(1, 6))
def test_a_sample_draws_the_same_in_any_company(seed, step, count, width):
    ids = torch.arange(10, 10 + count)
    together = normal(seed, step, ids, "noise", (width, 3))
    alone = torch.cat([normal(seed, step, ids[i : i + 1], "noise", (width, 3)) for i in range(count)])
    assert torch.equal(together, alone)


def test_every_part_of_the_address_matters():
    ids = torch.arange(4)
    base = words(1, 2, ids, "a", 8)
    for other in (
        words(9, 2, ids, "a", 8),
        words(1, 9, ids, "a", 8),
        words(1, 2, ids + 9, "a", 8),
        words(1, 2, ids, "b", 8),
        words(1 + 2**40, 2, ids, "a", 8),
    ):
        assert not torch.equal(base, other)


def test_normal_draws_are_normal_and_uniform_ones_uniform():
    ids = torch.arange(20_000)
    gaussian = normal(0, 0, ids, "z", (2,)).double().numpy()
    assert stats.kstest(gaussian.ravel(), "norm").pvalue > FOUR_STANDARD_ERRORS
    assert_sampling(gaussian[:, 0] * gaussian[:, 1], 0.0)
    flat = uniform(0, 0, ids, "u", (2,)).double().numpy()
    assert stats.kstest(flat.ravel(), "uniform").pvalue > FOUR_STANDARD_ERRORS
    assert flat.min() >= 0
    assert flat.max() < 1


def test_shapes_without_extent():
    assert normal(0, 0, torch.arange(5), "z").shape == (5,)
    assert uniform(0, 0, torch.arange(0), "z", (3,)).shape == (0, 3)


@settings(max_examples=25)
@given(seeds, st.integers(0, 1000), st.integers(1, 300))
def test_a_permutation_visits_everyone_once(seed, epoch, count):
    assert sorted(permutation(seed, epoch, count).tolist()) == list(range(count))


def test_batches_cover_an_epoch_without_repeats_and_drop_the_rest():
    batches = Batches(seed=3, sample_count=10, batch_size=3)
    first = torch.cat([batches.ids(step) for step in range(3)])
    assert len(set(first.tolist())) == 9
    assert not torch.equal(first, torch.cat([batches.ids(step) for step in range(3, 6)]))
    assert torch.equal(first, torch.cat([Batches(3, 10, 3).ids(step) for step in range(3)]))


def test_a_source_without_end_never_repeats():
    batches = Batches(seed=0, sample_count=None, batch_size=4)
    assert torch.cat([batches.ids(0), batches.ids(1)]).tolist() == list(range(8))


def test_a_batch_larger_than_the_data_is_the_data():
    assert sorted(Batches(0, 5, 64).ids(2).tolist()) == list(range(5))


def test_positions_are_equally_likely():
    places = np.stack([permutation(0, epoch, 6).numpy() for epoch in range(3000)])
    counts = np.bincount(places[:, 0], minlength=6)
    assert stats.chisquare(counts).pvalue > FOUR_STANDARD_ERRORS
