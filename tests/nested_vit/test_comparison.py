import pytest
import torch
from tests.nested_vit.small import configured
from torch.utils.flop_counter import FlopCounterMode

from theodolite.nested_vit import comparison
from theodolite.nested_vit.config import NestedViTConfig
from theodolite.nested_vit.counts import count_flops, counting_allocated, counting_kept
from theodolite.nested_vit.measures import plain_vit
from theodolite.theory import attention, swin

USUAL = {"width": 192, "heads": 3, "window": 16, "stages": 6, "global_blocks": 1, "target": "label", "classes": 1000}


def by_name(config, height, width=None):
    return {each.name: each for each in comparison.networks(config, height, width)}


@pytest.mark.parametrize("fields", [{}, {"target": "label", "channels": 1, "stages": 3}])
@pytest.mark.parametrize("size", [(64, 64), (96, 160)])
def test_a_plain_network_is_what_is_counted(fields, size):
    config = configured(**fields)
    planned = comparison.plain(config, 8, *size)
    with torch.device("meta"):
        network, image = plain_vit(config, 8), torch.empty(1, config.channels, *size)
    assert planned.parameters == sum(weight.numel() for weight in network.parameters())
    with FlopCounterMode(display=False) as counter:
        network(image)
    assert planned.forward == counter.get_total_flops()
    operations = counter.get_flop_counts()["Global"].items()  # without a graph fused, with one two products
    assert planned.attention == sum(
        flops for name, flops in operations if "attention" in str(name) or "bmm" in str(name)
    )
    assert planned.training == count_flops(lambda: torch.autograd.backward(network(image).sum()))
    assert planned.tokens == size[0] * size[1] / 64


def test_a_plain_network_keeps_and_holds_what_tensors_do():
    config = configured()
    planned, network, image = comparison.plain(config, 8, 256), plain_vit(config, 8), torch.rand(1, 3, 256, 256)
    with counting_kept(network.parameters()) as kept:
        network(image)
    assert planned.fused == pytest.approx(kept.most, rel=0.02)
    with counting_allocated() as held:
        torch.autograd.backward(network(image).sum())
    assert planned.peak == pytest.approx(held.most + 12 * planned.parameters, rel=0.1)


def test_materialised_attention_keeps_a_number_for_each_weight():
    """And none for each token, layer and head, which fused attention keeps."""
    found = by_name(configured(), 128, 64)
    for name in ("nested", "ViT-8", "Swin-T"):
        more = (found[name].materialised - found[name].fused) / 4
        assert 0.9 * found[name].entries < more < found[name].entries


def test_ours_is_what_the_plan_says_of_it():
    found = by_name(NestedViTConfig(**USUAL), 4096)
    assert found["nested"].forward == pytest.approx(3.447e12, rel=1e-3)
    assert found["ViT-8"].attention / found["nested"].attention == pytest.approx(1008, rel=1e-3)
    assert found["Swin-T"].forward == swin.swin_flops(4096, 4096)
    assert found["Swin-T"].parameters == 28_288_354
    embedding = attention.linear_flops(1024**2, 48, 96)
    assert found["Swin-T"].training == 3 * found["Swin-T"].forward - embedding


def test_what_ours_does_not_do_better_is_said():
    limits = comparison.tables(NestedViTConfig(**USUAL))[-1]
    assert limits.title.endswith("at 4096 px ViT-128, Swin-T take less work")
    rows = {(row[0], row[1]): row[2:] for row in limits.rows}
    assert rows["Swin-T", "work, forward"] == (None, pytest.approx(1.14))
    small = by_name(NestedViTConfig(**USUAL), 256)
    assert rows["ViT-16", "work, forward"] == (round(small["nested"].forward / small["ViT-16"].forward, 2), None)
    assert rows["nested itself", "pixels read, recomputed"] == (12, 12)
    narrow = comparison.tables(NestedViTConfig())[-1]
    assert narrow.title.endswith("at 4096 px ViT-128 takes less work")


def test_attention_and_the_whole_are_told_beside_each_other():
    work = comparison.tables(NestedViTConfig(**USUAL))[1]
    assert work.title == "At 4096 px ViT-8 costs 1,008 times as much in attention, 184.5 times in the whole"
    assert all(len(row) == 7 for row in work.rows)
    assert {row[0] for row in work.rows} == {256, 4096}


def test_an_image_of_any_size_stands_beside_the_large_one():
    sizes, work, memory, limits = comparison.tables(configured(), 30, 50)
    for table in (sizes, work, memory):
        assert [row[0] for row in table.rows][::5][:1] == ["50 × 30"]
        assert table.rows[-1][0] == 4096
    assert limits.columns[2:] == ("× at 50 × 30 px", "× at 4096 px")
    assert comparison.tables(configured(), 5000, 4096)[1].rows[0][0] == 4096
    found = by_name(configured(), 30, 50)
    assert sizes.rows[1][2] == found["ViT-8"].tokens == 4 * 7


def test_curves_run_over_every_size():
    config = NestedViTConfig()
    work, savings, memory = comparison.charts(config)
    for chart in (work, savings, memory):
        assert (chart.x_scale, chart.y_scale) == ("log", "log")
        assert set(chart.layers[0].columns["side"]) == set(comparison.SIDES)
    assert set(work.layers[0].columns["name"]) == {"nested", "ViT-8", "ViT-16", "ViT-128", "Swin-T"}
    names, sides, values = (memory.layers[0].columns[key] for key in ("name", "side", "value"))
    kept = {(name, side): value for name, side, value in zip(names, sides, values, strict=True)}
    assert kept["ViT-8, materialised", 16384] > 1000 * kept["ViT-8, fused", 16384]
    assert kept["nested, in chunks", 16384] < kept["nested", 16384] / 50
