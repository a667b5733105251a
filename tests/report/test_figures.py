import json
import math
import re
from io import BytesIO
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import pytest
import vl_convert
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.report import example
from tests.tolerances import IDENTITY, assert_identity

from theodolite.kernel.exhibits import Chart, Layer
from theodolite.report.axes import Axes, Axis
from theodolite.report.figures import altair_chart, chart_spec, chart_svg, series_key, still
from theodolite.report.labels import LINE, labels
from theodolite.report.marks import LONGEST_LINE, rows
from theodolite.report.palette import SERIES

CHARTS = [
    example.curves(),
    example.spectrum(),
    example.cloud(),
    example.histogram(),
    example.groups(),
    example.ranking(),
]


def chart(*layers: Layer, **fields: Any) -> Chart:
    return Chart(
        **{"title": "t", "caption": "c", "x_title": "x", "y_title": "y", "layers": layers, **fields}  # type: ignore[arg-type]
    )


def line(values: list[Any], **fields: Any) -> Layer:
    return Layer(mark="line", columns={"x": list(range(len(values))), "y": values}, x="x", y="y", **fields)


@pytest.mark.parametrize("made", CHARTS, ids=lambda made: made.title)
def test_every_chart_becomes_a_still_without_style_script_or_link(made: Chart) -> None:
    root = ElementTree.fromstring(chart_svg(made))
    names = {element.tag.split("}")[1] for element in root.iter()}
    assert names <= {"svg", "g", "path", "line", "rect", "circle", "text", "tspan", "defs", "clipPath"}
    assert not any(name in ("style", "class", "href") for element in root.iter() for name in element.attrib)
    assert made.x_title in "".join(root.itertext())


@pytest.mark.parametrize("dark", [False, True])
def test_a_picture_outside_the_page_has_its_colours_itself(dark: bool) -> None:
    svg = chart_svg(example.curves(), dark)
    assert "var(" not in svg
    assert SERIES["real"] in svg
    assert SERIES["generated"] in svg


def test_ids_of_two_stills_differ() -> None:
    spec = chart_spec(example.cloud())
    one, other = (set(re.findall(r'id="([^"]+)"', still(spec, prefix))) for prefix in ("a-", "b-"))
    assert one
    assert not one & other


def test_real_and_generated_are_the_same_everywhere_and_no_one_elses() -> None:
    for made in CHARTS:
        for name, role in made.roles.items():
            if name in Axes.of(made).colours:
                assert Axes.of(made).colours[name] == role
    free = Axes.of(example.ranking()).colours
    assert not {"real", "generated"} & set(free.values())


def test_theory_is_dashed_and_bands_are_areas() -> None:
    layers = chart_spec(example.curves())["layer"]
    assert layers[0]["mark"]["type"] == "area"
    assert layers[1]["mark"]["strokeDash"] == [1, 0]
    assert layers[2]["mark"]["strokeDash"] == [6, 4]
    assert {key.name: key.dashed for key in series_key(example.curves())}["theory"]


def test_columns_with_any_name_are_data_not_paths() -> None:
    odd = Layer(mark="point", columns={"a.b[0]": [1.0, 2.0], "<i>": [3.0, 4.0]}, x="a.b[0]", y="<i>")
    spec = chart_spec(chart(odd))
    assert spec["layer"][0]["encoding"]["x"]["field"] == "x"
    assert next(iter(spec["datasets"].values()))[0] == {"x": 1.0, "y": 3.0}


def test_what_is_no_number_is_left_out_and_breaks_a_line() -> None:
    made = chart(line([1.0, math.nan, math.inf, "Infinity", 2.0]))
    drawn = rows(made.layers[0], Axes.of(made))
    assert [row["y"] for row in drawn] == [1.0, None, None, None, 2.0]
    json.dumps(chart_spec(made), allow_nan=False)
    points = Layer(mark="point", columns={"x": [1, 2], "y": [None, 5]}, x="x", y="y")
    assert rows(points, Axes.of(chart(points))) == [{"x": 2.0, "y": 5.0}]


def test_logarithmic_axes_take_positive_numbers_and_name_powers_of_ten() -> None:
    made = chart(line([0.0, -1.0, 1e-3, 10.0]), y_scale="log")
    assert [row["y"] for row in rows(made.layers[0], Axes.of(made))] == [None, None, 1e-3, 10.0]
    values = chart_spec(made)["layer"][0]["encoding"]["y"]["axis"]["values"]
    assert values == [1e-3, 1e-2, 1e-1, 1.0, 10.0]


def test_a_long_line_is_thinned_but_keeps_its_extremes() -> None:
    values = [math.sin(i / 50) for i in range(20_000)]
    values[7777] = 9.0
    made = chart(line(values))
    drawn = rows(made.layers[0], Axes.of(made))
    assert len(drawn) <= LONGEST_LINE + 2
    assert max(row["y"] for row in drawn) == 9.0
    assert [row["x"] for row in drawn] == sorted(row["x"] for row in drawn)
    assert (drawn[0]["x"], drawn[-1]["x"]) == (0.0, 19_999.0)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8))
def test_labels_never_touch_and_stay_beside_the_axes(ends: list[float]) -> None:
    columns = {
        "x": [0, 1] * len(ends),
        "y": [v for end in ends for v in (0.5, end)],
        "s": [f"s{i}" for i in range(len(ends)) for _ in (0, 1)],
    }
    made = chart(Layer(mark="line", columns=columns, x="x", y="y", color="s"), y_domain=(0, 1))
    placed = sorted(label.y or 0.0 for label in labels(made, Axes.of(made), 300))
    assert len(placed) == len(ends)
    assert all(b - a >= (LINE - 0.5) / 300 for a, b in pairwise(placed))
    assert placed[0] >= -IDENTITY
    assert placed[-1] <= 1 + IDENTITY


def test_many_series_are_named_in_the_key_alone() -> None:
    columns = {"x": [0, 1] * 12, "y": list(range(24)), "s": [f"s{i // 2}" for i in range(24)]}
    made = chart(Layer(mark="line", columns=columns, x="x", y="y", color="s"))
    assert labels(made, Axes.of(made), 300) == []
    assert [key.labelled for key in series_key(made)] == [False] * 12


@given(st.floats(0, 1), st.sampled_from(["linear", "log", "symlog"]))
def test_an_axis_goes_there_and_back(fraction: float, scale: str) -> None:
    axis = Axis((), 0.01, 100.0, scale)
    assert_identity(axis.fraction(axis.at(fraction)), fraction)


def test_names_keep_their_order_and_bars_stand_on_zero() -> None:
    spec = chart_spec(example.ranking())
    assert spec["layer"][0]["encoding"]["y"]["scale"]["domain"][:2] == ["closed form", "EM"]
    assert spec["layer"][0]["encoding"]["yOffset"]["field"] == "s"
    numeric = chart_spec(example.histogram())["layer"][0]
    assert numeric["encoding"]["y2"] == {"datum": 0}
    logarithmic = chart(Layer(mark="bar", columns={"x": [1, 2], "y": [0.02, 30.0]}, x="x", y="y"), y_scale="log")
    assert {row["y2"] for row in next(iter(chart_spec(logarithmic)["datasets"].values()))} == {0.01}


def test_square_charts_are_square_and_lines_answer_to_pointing() -> None:
    square = altair_chart(example.cloud()).to_dict()
    assert square["width"] == square["height"]
    live = chart_spec(example.curves())
    assert [layer["name"] for layer in live["layer"] if "name" in layer][-2:] == ["near0", "near1"]
    assert live["params"]
    assert 'opacity="0"' not in still(live)


def test_a_text_layer_and_an_empty_one_can_be_drawn() -> None:
    text = Layer(mark="text", columns={"x": [0.5], "y": [1.0], "t": [12345]}, x="x", y="y", text="t")
    assert "12,345" in chart_svg(chart(text, line([0.0, 2.0])))
    assert chart_svg(chart(Layer(mark="point", columns={"x": [], "y": []}, x="x", y="y")))


def test_bars_stand_side_by_side_only_where_they_share_a_name() -> None:
    alone = Layer(mark="bar", columns={"n": ["a", "b"], "v": [1, 2], "s": ["one", "two"]}, x="n", y="v", color="s")
    assert "xOffset" not in chart_spec(chart(alone))["layer"][0]["encoding"]
    columns = {"n": ["a", "a", "b", "b"], "v": [1, 2, 3, 4], "s": ["one", "two"] * 2}
    both = [Layer(mark=mark, columns=columns, x="n", y="v", color="s") for mark in ("bar", "point")]  # type: ignore[arg-type]
    for layer in chart_spec(chart(*both))["layer"]:
        assert layer["encoding"]["xOffset"]["scale"]["domain"] == ["one", "two"]


def painted_share(svg):
    """Share of the picture's pixels that are not its commonest colour."""
    picture = Image.open(BytesIO(vl_convert.svg_to_png(svg))).convert("RGB")
    counts = [count for count, _ in picture.getcolors(maxcolors=2**24)]
    return 1 - max(counts) / sum(counts)


@pytest.mark.parametrize("domain", [None, (0.0, 3.0)])
def test_bars_are_seen_whatever_the_domain(domain):
    def draw(height):
        bars = Layer(mark="bar", columns={"name": ["a", "b"], "value": [height, height]}, x="name", y="value")
        fields = {"title": "t", "caption": "c", "x_title": "x", "y_title": "y", "y_domain": domain}
        return painted_share(chart_svg(Chart(layers=(bars,), **fields)))

    assert draw(2.0) > draw(0.0) + 0.1
