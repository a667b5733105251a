import pytest
from tests.nested_vit.small import built, configured

from theodolite.kernel.errors import ResourceError
from theodolite.nested_vit.config import NestedViTConfig
from theodolite.nested_vit.costs import Costs, parameters
from theodolite.nested_vit.plan import plan


def values(config):
    return {prediction.name: prediction.value for prediction in plan(config).predictions}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"target": "label"},
        {"region_tokens": 3, "stages": 3, "global_blocks": 2, "patch": 2},
        {"channels": 5, "classes": 7},
    ],
)
def test_parameters_are_counted(fields):
    config = configured(**fields)
    assert parameters(config) == sum(weight.numel() for weight in built(config).parameters())


def test_the_papers_image_is_planned():
    planned = values(NestedViTConfig())
    assert planned["flops_vit8"] > 400 * planned["flops_large"]
    assert planned["flops_vit128"] < planned["flops_large"] < planned["flops_vit16"]
    large = Costs(NestedViTConfig(), 4096)
    assert large.kept("recomputed", 16) < large.kept("ordinary") / 100


def test_a_label_promises_nothing_of_pixels():
    assert "iou_without_global" in values(configured())
    assert "iou_without_global" not in values(configured(target="label"))


@pytest.mark.parametrize("stages", [1, 2, 3, 5])
@pytest.mark.parametrize("target", ["dense", "label"])
def test_the_diagram_shows_windows_stages_and_the_head(stages, target):
    diagram = plan(configured(stages=stages, target=target)).exhibits[0]
    keys = {box.key for box in diagram.boxes}
    shown = min(stages, 3)
    assert {"image", "windows", "head"} | {f"local{n}" for n in range(1, shown + 1)} <= keys
    assert f"local{shown + 1}" not in keys
    tokens = " ".join(line for box in diagram.boxes for line in box.lines)
    assert "16 windows" in tokens
    assert "16 × 17 tokens" in tokens


def test_the_plan_says_which_way_is_taken_and_what_it_costs():
    table = plan(configured(memory="1GiB", chunk=None)).exhibits[1]
    assert table.title.startswith("One canvas is trained on by ordinary gradients: 1.00 times the nominal work")
    assert "1,074 allowed" in table.title
    assert [row[-1] for row in table.rows[:3]] == ["taken", "", ""]
    tight = plan(configured(memory="1.5MiB", chunk=None)).exhibits[1]
    assert [row[-1] for row in tight.rows[:3]] == ["does not fit", "", "taken"]
    assert tight.rows[5][-1] == "does not fit"  # 4096 px


def test_a_memory_that_nothing_fits_is_refused_at_once():
    with pytest.raises(ResourceError, match=r"takes \d+ MiB at least \(stored, 1 window at a time\)") as caught:
        plan(configured(size=2048, memory="1MiB", chunk=None))
    assert "\n" not in str(caught.value)


def test_usual_widths_are_in_a_table():
    table = next(each for each in plan(configured()).exhibits if each.title.startswith("At usual widths"))
    ratios = {row[0]: row[5] for row in table.rows}
    assert ratios == {192: 184.5, 384: 102.3, 768: 54.4}
