import doctest

import pytest
from tests.report.example import example_run, predictions

from theodolite.kernel.records import Measurement
from theodolite.kernel.verdict import compare
from theodolite.report import verdicts
from theodolite.report.verdicts import contradictions, rows, state, tally


def test_examples_of_the_docstrings() -> None:
    assert doctest.testmod(verdicts).failed == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "No prediction was made"),
        (["holds"], "The one prediction holds"),
        (["fails"], "1 of 1 prediction fails"),
        (["holds"] * 3, "All 3 predictions hold"),
        (["holds", "fails", "fails", "undecided"], "2 of 4 predictions fail, 1 holds, 1 is undecided"),
        (["undecided", "undecided"], "2 of 2 predictions are undecided"),
    ],
)
def test_tally(given: list[str], said: str) -> None:
    assert tally(given) == said


def test_one_failure_fails_all() -> None:
    assert state(["holds", "fails", "undecided"]) == "fails"
    assert state(["holds", "undecided"]) == state([]) == "undecided"
    assert state(["holds"]) == "holds"


def test_a_contradiction_says_both_numbers(tmp_path) -> None:
    run = example_run(tmp_path / "run", failing=True)
    (sentence,) = contradictions(run.audit.findings)
    assert sentence == (
        "ELBO at the optimum: predicted exactly −54.313 nats per sample, "
        "measured −58.900\u00a0±\u00a00.034 nats per sample."
    )


def test_rows_show_the_kind_of_claim_and_round_to_what_is_known(tmp_path) -> None:
    run = example_run(tmp_path / "run")
    shown = {row.label: row for row in rows(run.plan, run.audit.findings)}
    assert shown["Share of the data that is covered"].predicted == "≥ 91.0"
    assert shown["Singular values above the noise"].predicted == "≤ 8"
    assert shown["ELBO at the optimum"].measured == "−54.321 ± 0.034"
    assert (shown["ELBO at the optimum"].mark, shown["ELBO at the optimum"].word) == ("✓", "holds")


def test_a_plan_alone_is_not_measured_yet(tmp_path) -> None:
    run = example_run(tmp_path / "run", audited=False)
    assert {row.word for row in rows(run.plan, None)} == {"not measured yet"}
    assert {row.measured for row in rows(run.plan, None)} == {"–"}


def test_infinite_numbers_are_written() -> None:
    prediction = predictions()[0].model_copy(update={"value": float("inf")})
    measurement = Measurement(name="elbo", value=float("nan"), unit=prediction.unit, method="by hand")
    (row,) = rows(None, compare([prediction], [measurement]))  # type: ignore[arg-type]
    assert (row.predicted, row.measured, row.word) == ("∞", "–", "fails")
