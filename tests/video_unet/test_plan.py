import numpy as np
import pytest
from tests.tolerances import assert_identity

from theodolite.kernel.exhibits import Chart, Diagram, Table
from theodolite.video_unet.baselines import baseline, baseline_clips
from theodolite.video_unet.blueprint import SHAPE_COLUMN
from theodolite.video_unet.config import VideoUNetConfig
from theodolite.video_unet.cosine_code import cosines, rebuilt
from theodolite.video_unet.plan import plan

SMALL = {"frames": 4, "height": 12, "width": 16, "clips": 20, "held_out": 5, "base": 2}


def test_the_plan_of_the_question_states_its_numbers():
    predicted = {each.name: each.value for each in plan(VideoUNetConfig()).predictions}
    assert predicted["parameters"] == 5_601_507
    assert predicted["maps_as_planned"] == 27
    assert predicted["dead_weights"] == 0
    assert predicted["receptive_field"] == 100
    assert plan(VideoUNetConfig(rounding="down")).predictions[2].value == 1_769_472


def test_the_u_is_drawn_with_every_block_and_every_skip():
    for stages in (1, 3, 4):
        diagram = next(e for e in plan(VideoUNetConfig(**SMALL, stages=stages)).exhibits if isinstance(e, Diagram))
        assert len(diagram.boxes) == 2 * stages + 3
        assert sum(arrow.dashed for arrow in diagram.arrows) == stages
    bare = plan(VideoUNetConfig(**SMALL, skips=False)).exhibits[0]
    assert isinstance(bare, Diagram)
    assert not any(arrow.dashed for arrow in bare.arrows)


def test_the_table_has_a_row_for_every_map():
    table = next(each for each in plan(VideoUNetConfig()).exhibits if isinstance(each, Table))
    assert len(table.rows) == 27
    joins = [row for row in table.rows if str(row[0]).endswith(".join")]
    assert [row[SHAPE_COLUMN] for row in joins] == ["3×8×8×256", "5×16×16×128", "10×32×32×64"]


def test_what_an_output_sees_is_told_by_its_place_and_axis():
    config = VideoUNetConfig(**SMALL, kernel=(1, 3, 3), pool=(1, 2, 2), up="resize")
    made = plan(config)
    predicted = {each.name: each.value for each in made.predictions}
    assert predicted["receptive_field_frames"] == 1
    assert predicted["receptive_field_rows"] == predicted["receptive_field_columns"] > 100
    assert "receptive_field" not in predicted
    table = [each for each in made.exhibits if isinstance(each, Table)][1]
    assert [row[0] for row in table.rows] == list(range(8))
    assert table.rows[0][1:3] == (0, 0)
    assert table.rows[1][1:3] == (None, None)
    assert max(row[3] + row[4] + 1 for row in table.rows) == predicted["receptive_field_rows"]


def test_of_a_large_cell_not_every_place_is_listed():
    table = [each for each in plan(VideoUNetConfig(**SMALL, stages=7)).exhibits if isinstance(each, Table)][1]
    assert len(table.rows) == 64
    assert "the first 64." in table.caption


@pytest.mark.parametrize("fields", [{"data": "somewhere"}, {"channels": 5}, {"height": 1024, "width": 1024}])
def test_where_no_quick_code_can_be_had_none_is_promised(fields):
    made = plan(VideoUNetConfig(**{**SMALL, **fields}))
    assert not any(each.name.startswith("psnr") for each in made.predictions)
    assert any("No linear code is compared" in each for each in made.assumptions)
    assert not any(isinstance(each, Chart) for each in made.exhibits)


def test_predictions_of_quality_follow_the_networks():
    names = {each.name for each in plan(VideoUNetConfig(**SMALL, compare_skips=False)).predictions}
    assert "psnr_with_skips" in names
    assert not names & {"psnr_without_skips", "gain_of_skips"}


@pytest.mark.parametrize(
    ("corruption", "names"),
    [
        ("masked", {"psnr_interpolation", "psnr_hidden_with_skips", "psnr_hidden_without_skips"}),
        ("noise", {"psnr_wiener"}),
    ],
)
def test_what_can_be_made_good_without_training_is_predicted(corruption, names):
    clean = {each.name for each in plan(VideoUNetConfig(**SMALL)).predictions}
    made = plan(VideoUNetConfig(**SMALL, corruption=corruption))
    assert {each.name for each in made.predictions} - clean == names
    assert any("Networks are shown clips" in each for each in made.assumptions)
    values = {each.name: each.value for each in made.predictions}
    if corruption == "noise":
        assert values["psnr_wiener"] > values["psnr_with_skips"]
    else:
        assert values["psnr_interpolation"] == values["psnr_hidden_with_skips"] == values["psnr_hidden_without_skips"]


def test_the_cosine_code_of_the_plan_is_the_one_carried_out():
    config = VideoUNetConfig(**SMALL)
    fit, judged = baseline_clips(config)
    linear = baseline(config, 100)
    assert linear.sizes == (16, 64, 100)
    for size, psnr in zip(linear.sizes, linear.cosine, strict=True):
        error = ((rebuilt(fit, judged, size) - judged) ** 2).mean(axis=(1, 2, 3, 4))
        assert_identity(psnr, -10 * np.log10(error).mean())


def test_components_fitted_to_more_clips_keep_more_of_others():
    config = VideoUNetConfig(**{**SMALL, "clips": 300, "held_out": 20})
    few, many = baseline(config, 64), baseline(config, 64, times=2)
    assert (few.fitted, many.fitted) == (128, 256)
    assert few.principal_sizes == many.principal_sizes == (16, 64)
    assert all(more > less for less, more in zip(few.principal, many.principal, strict=True))
    assert few.constant_uncertainty > 0
    assert baseline(config, 64, times=9).fitted == 300


def test_the_cosine_basis_is_orthonormal():
    basis = cosines(10)
    assert_identity(basis @ basis.T, [[float(i == j) for j in range(10)] for i in range(10)])
