import math

from tests.tolerances import assert_identity

from theodolite.report.course import MOST_POINTS, MOST_SERIES, course
from theodolite.report.figures import chart_spec


def test_no_chart_where_there_is_no_course() -> None:
    assert course([]) is None
    assert course([{"step": 1, "loss": 2.0}]) is None
    assert course(["text", 3, None, {"loss": 1.0}, {"step": "x", "loss": 1}, {"step": 2, "loss": math.nan}]) is None
    assert course([{"step": 1, "loss": 10**400}, {"step": 2, "loss": 10**400}]) is None


def test_the_title_says_what_happened() -> None:
    made = course([{"step": step, "loss": 10.0 - step} for step in range(5)])
    assert made is not None
    assert made.title == "Loss fell from 10 to 6 by step 4"
    steady = course([{"step": step, "recon_loss": 1.0} for step in range(5)])
    assert steady is not None
    assert steady.title == "Recon loss is 1 at step 4, as at the start"


def test_many_lines_are_averaged_without_losing_the_mean() -> None:
    lines = [{"step": step, "loss": math.sin(step)} for step in range(3000)]
    made = course(lines)
    assert made is not None
    values = [value for value in made.layers[0].columns["value"] if isinstance(value, float)]
    assert len(values) <= MOST_POINTS
    assert_identity(math.fsum(values) / len(values), math.fsum(row["loss"] for row in lines) / 3000)
    assert "mean of about 10 lines" in made.caption


def test_the_axis_is_logarithmic_over_decades_of_positive_numbers() -> None:
    falling = course([{"step": step, "loss": math.exp(-step)} for step in range(20)])
    signed = course([{"step": step, "loss": math.exp(-step) - 0.5} for step in range(20)])
    assert falling is not None
    assert signed is not None
    assert (falling.y_scale, signed.y_scale) == ("log", "linear")


def test_metrics_of_another_order_of_magnitude_do_not_flatten_the_loss() -> None:
    lines = [{"step": s, "seconds": s, "gain": 1.0 + s, "accuracy": 0.5, "rate": 1e-6} for s in range(9)]
    made = course(lines)
    assert made is not None
    assert set(made.layers[0].columns["metric"]) == {"gain", "accuracy"}
    assert made.caption == "Gain over the steps of training, beside others. Also in metrics.jsonl: rate."


def test_losses_are_drawn_without_what_is_no_loss() -> None:
    made = course([{"step": s, "modes": 8.0, "generator_loss": 2.0 - s, "loss": 1.0 + s} for s in range(9)])
    assert made is not None
    assert list(dict.fromkeys(made.layers[0].columns["metric"])) == ["loss", "generator loss"]
    assert made.y_title == "loss"


def test_crowds_are_cut() -> None:
    crowd = course([{"step": s, **{f"m{i}": 1.0 + i for i in range(20)}} for s in range(3)])
    assert crowd is not None
    assert len(set(crowd.layers[0].columns["metric"])) == MOST_SERIES
    assert chart_spec(crowd)
