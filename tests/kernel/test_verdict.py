import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from theodolite.kernel.records import Measurement, Prediction
from theodolite.kernel.verdict import compare, judge

finite = st.floats(-1e6, 1e6)
claims = st.sampled_from(["exact", "estimate", "lower bound", "upper bound"])


def predict(value=1.0, claim="exact", tolerance=0.0, name="x", unit="nats"):
    return Prediction(name=name, label=name, value=value, unit=unit, claim=claim, source="a test", tolerance=tolerance)


def measure(value=1.0, uncertainty=0.0, name="x", unit="nats"):
    return Measurement(name=name, value=value, unit=unit, uncertainty=uncertainty, method="by hand")


@pytest.mark.parametrize(
    ("claim", "value", "verdict"),
    [
        ("exact", 1.0, "holds"),
        ("exact", 1.2, "fails"),
        ("estimate", 0.8, "fails"),
        ("lower bound", 5.0, "holds"),
        ("lower bound", 0.5, "fails"),
        ("upper bound", -5.0, "holds"),
        ("upper bound", 1.5, "fails"),
    ],
)
def test_a_certain_measurement_is_judged_by_the_kind_of_claim(claim, value, verdict):
    assert judge(predict(claim=claim), measure(value)) == verdict


def test_a_measurement_coarser_than_the_tolerance_cannot_confirm():
    assert judge(predict(tolerance=0.1), measure(1.0, uncertainty=0.5)) == "undecided"
    assert judge(predict(tolerance=0.5), measure(1.4, uncertainty=0.5)) == "holds"
    assert judge(predict(tolerance=0.1), measure(2.0, uncertainty=0.5)) == "fails"


def test_what_is_not_finite_fails_unless_it_was_predicted():
    assert judge(predict(), measure(math.nan)) == "fails"
    assert judge(predict(), measure(math.inf)) == "fails"
    assert judge(predict(value=math.inf), measure(math.inf)) == "holds"
    assert judge(predict(value=math.inf), measure(1.0)) == "fails"


def test_an_infinite_measurement_is_held_against_a_bound_like_any_other():
    assert judge(predict(claim="lower bound"), measure(math.inf)) == "holds"
    assert judge(predict(claim="upper bound"), measure(math.inf)) == "fails"
    assert judge(predict(claim="upper bound", value=math.inf), measure(math.inf)) == "holds"
    assert judge(predict(claim="upper bound"), measure(-math.inf)) == "holds"


def test_a_measurement_that_excludes_nothing_decides_nothing():
    assert judge(predict(), measure(1.0, uncertainty=math.inf)) == "undecided"
    assert judge(predict(), measure(5.0, uncertainty=math.inf)) == "undecided"


@given(finite, claims, st.floats(0, 10), finite, st.floats(0, 10))
def test_more_tolerance_never_turns_agreement_into_contradiction(value, claim, tolerance, measured, uncertainty):
    strict = judge(predict(value, claim, tolerance), measure(measured, uncertainty))
    lenient = judge(predict(value, claim, 2 * tolerance + 1), measure(measured, uncertainty))
    assert strict == "fails" or lenient != "fails"


@given(finite, st.floats(0, 10), finite, st.floats(0, 10))
def test_an_exact_claim_holds_only_where_both_bounds_are_not_contradicted(value, tolerance, measured, uncertainty):
    exact, lower, upper = (
        judge(predict(value, claim, tolerance), measure(measured, uncertainty))
        for claim in ("exact", "lower bound", "upper bound")
    )
    assert (exact == "fails") == ("fails" in (lower, upper))


def test_findings_follow_the_order_of_the_predictions():
    findings = compare([predict(name="b"), predict(name="a")], [measure(name="a"), measure(name="b")])
    assert [finding.prediction.name for finding in findings] == ["b", "a"]


@pytest.mark.parametrize(
    ("measurements", "complaint"),
    [
        ([], "predicted but not measured: \\['x'\\]"),
        ([measure(), measure(name="y")], "measured but not predicted: \\['y'\\]"),
        ([measure(), measure()], "twice"),
        ([measure(unit="bits")], "predicted in 'nats' but measured in 'bits'"),
    ],
)
def test_a_family_that_forgets_a_measurement_is_told(measurements, complaint):
    with pytest.raises(ValueError, match=complaint):
        compare([predict()], measurements)
