import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from theodolite.kernel.exhibits import Arrow, Box, Chart, Diagram, Gallery, Layer, Table
from theodolite.kernel.records import Audit, Finding, Measurement, Plan, Prediction

numbers = st.floats(allow_nan=False)


def prediction(value=1.0, claim="exact"):
    return Prediction(name="x", label="X", value=value, unit="", claim=claim, source="a test")


def finding(verdict):
    return Finding(
        prediction=prediction(), measurement=Measurement(name="x", value=1, unit="", method="m"), verdict=verdict
    )


@given(numbers, st.text(max_size=20), st.sampled_from(["exact", "lower bound", "upper bound", "estimate"]))
def test_a_plan_comes_back_from_json_equal_and_with_the_same_seal(value, unit, claim):
    plan = Plan(
        family="gan",
        config={"steps": 3, "data": "line"},
        predictions=(Prediction(name="x", label=unit, value=value, unit=unit, claim=claim, source="s"),),
        exhibits=(Table(title="t", caption="c", columns=("a", "b"), rows=((1, "x"), (2.5, None))),),
    )
    again = Plan.model_validate_json(plan.model_dump_json())
    assert again == plan
    assert again.digest() == plan.digest()


def test_the_seal_changes_with_any_prediction():
    first = Plan(family="gan", config={}, predictions=(prediction(1.0),))
    second = Plan(family="gan", config={}, predictions=(prediction(math.nextafter(1.0, 2.0)),))
    assert first.digest() != second.digest()


@pytest.mark.parametrize(
    "change", [{"value": math.nan}, {"claim": "roughly"}, {"name": "Not a name"}, {"tolerance": -1.0}, {"extra": 1}]
)
def test_a_prediction_that_says_nothing_is_refused(change):
    with pytest.raises(ValidationError):
        Prediction(**prediction().model_dump() | change)


def test_records_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        prediction().value = 2.0


def test_an_audit_fails_with_one_contradicted_prediction_but_not_with_doubt():
    fields = {"family": "gan", "title": "t", "sentences": ("s",)}
    assert Audit(**fields, findings=(finding("holds"), finding("fails"))).failed
    assert not Audit(**fields, findings=(finding("holds"), finding("undecided"))).failed


@pytest.mark.parametrize("name", ["../secret.npy", "a/b.npy", ".npy", "x.pkl", "x.npy\n", "é.npy", "a" * 70 + ".npy"])
def test_an_exhibit_names_no_file_outside_its_folder(name):
    with pytest.raises(ValidationError):
        Gallery(title="t", caption="c", array=name, labels=())


def test_a_layer_must_have_the_columns_it_draws():
    with pytest.raises(ValidationError, match="column 'z' is drawn but not given"):
        Layer(mark="line", columns={"x": [1], "y": [2]}, x="x", y="z")
    with pytest.raises(ValidationError, match="one length"):
        Layer(mark="line", columns={"x": [1], "y": [2, 3]}, x="x", y="y")


def test_an_arrow_must_land_on_boxes():
    box = Box(key="a", x=0, y=0, width=1, height=1, lines=("a",))
    with pytest.raises(ValidationError, match="no box at one end"):
        Diagram(title="t", caption="c", boxes=(box,), arrows=(Arrow(start="a", end="b"),))


def test_a_table_row_must_fill_the_columns():
    with pytest.raises(ValidationError, match="2 cells"):
        Table(title="t", caption="c", columns=("a", "b"), rows=((1,),))


def test_exhibits_are_told_apart_by_kind():
    layer = Layer(mark="point", columns={"x": [1], "y": [2]}, x="x", y="y")
    chart = Chart(title="t", caption="c", layers=(layer,), x_title="x", y_title="y")
    audit = Audit(family="gan", title="t", sentences=("s",), exhibits=(chart,))
    assert Audit.model_validate_json(audit.model_dump_json()).exhibits == (chart,)
