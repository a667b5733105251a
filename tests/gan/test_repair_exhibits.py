"""What the report shows of a repair, computed from its record."""

import pytest
from tests.gan.test_repair import LOST, known, only, run  # noqa: F401

from theodolite import families
from theodolite.data.mixtures import line
from theodolite.gan import judge
from theodolite.gan import repair as module
from theodolite.gan.repair import repair
from theodolite.gan.repair_exhibits import rounds_table, sentences
from theodolite.gan.repaired import Component, Repair, RepairSettings, Round

ROUND = Round(
    number=1, seen_by="D̂", reals=200, reals_inside=20, fakes=1000, before_inside=1, after_inside=80, share=0.1,
    made_at_most=0.04, made_at_least=0.71, fidelity_before=0.9, fidelity_after=0.91, accepted=True, why="",
)  # fmt: skip


def record(*rounds):
    accepted = sum(one.accepted for one in rounds)
    shares = [1 - 0.1 * accepted, *[0.1] * accepted]
    folders = ["", *(f"repair/round-{number}" for number in range(1, accepted + 1))]
    return Repair(
        seal="0" * 64,
        settings=RepairSettings(),
        accepted=accepted > 0,
        why="",
        rounds=rounds,
        components=tuple(
            Component(folder=folder, share=share, sha256="0" * 64)
            for folder, share in zip(folders, shares, strict=True)
        ),
    )


def test_the_sentence_has_both_bounds():
    assert sentences(record(ROUND)) == (
        "Round 1 of the repair mended the set that it was found to miss, 10.0% of the held-out data: the generator now "
        "puts there at least 71% of what is due, where it put at most 4.0%, at 95% confidence in all.",
    )


def test_a_refused_round_says_why_and_one_without_training_nothing():
    refused = ROUND.model_copy(update={"accepted": False, "why": "refused: fidelity falls"})
    assert sentences(record(refused)) == (
        "Round 1 of the repair was refused: fidelity falls; the generator is the one before.",
    )
    idle = ROUND.model_copy(update={"accepted": False, "made_at_least": 0.0, "share": 0.0})
    assert sentences(record(idle)) == ()
    assert rounds_table(record(idle)).title == "0 of 1 rounds mended the generator"


def test_the_table_has_a_row_a_round():
    idle = ROUND.model_copy(update={"accepted": False, "share": 0.0, "made_at_most": float("inf"), "number": 2})
    table = rounds_table(record(ROUND, idle))
    assert table.title == ("The missed set held at most 4.0% of what is due; after the repair it holds at least 71%")
    assert [row[2] for row in table.rows] == ["≤ 4.0% (1 of 1,000)", "unbounded (1 of 1,000)"]
    assert [row[3] for row in table.rows] == ["≥ 71.0% (80 of 1,000)", ""]


@pytest.mark.parametrize("further", [LOST, 0])
def test_an_audit_tells_of_the_repair(run, known, monkeypatch, further):  # noqa: F811
    monkeypatch.setattr(module, "FRESH", 2000)
    monkeypatch.setattr(judge, "STEPS", 30)
    known(line().without(LOST), only(further))
    found = repair(run, steps=2)
    told = families.audit(run)
    titles = [exhibit.title for exhibit in told.exhibits]
    assert rounds_table(found).title in titles
    names = {finding.prediction.name: finding.prediction.value for finding in told.findings}
    assert any(title.startswith("The mode that got least had") for title in titles) == found.accepted
    # after a repair nothing is withheld any more, and no part is promised to be missed
    assert (names.get("missed_mass", 0.0) == 0) == found.accepted
    # two generators might have been audited: each bound is right for both at 95%
    assert sum(" at 97.5% confidence" in exhibit.caption for exhibit in told.exhibits) >= 3
    assert not any(" at 98% confidence" in sentence for sentence in told.sentences)
    if found.accepted:
        assert sentences(found)[0] in told.sentences
    assert len(told.sentences) <= 4
