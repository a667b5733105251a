from pathlib import Path

import numpy as np
import pytest
from tests.report import example
from tests.tolerances import assert_identity

from theodolite.kernel.errors import DataError
from theodolite.report.heatmaps import MOST_CELLS, VIRIDIS, binned, colours, panels


def test_ends_of_the_scale_have_its_end_colours_and_gaps_are_transparent() -> None:
    painted = colours(np.array([[0.0, 1.0, np.nan]]), 0, 1)[0]
    for pixel, anchor in zip(painted[:2], (VIRIDIS[0], VIRIDIS[-1]), strict=True):
        assert "#" + bytes(pixel[:3]).hex() == anchor
    assert list(painted[:, 3]) == [255, 255, 0]


def test_lightness_rises_evenly() -> None:
    painted = colours(np.linspace(0, 1, 256)[None], 0, 1)[0, :, :3] / 255
    linear = np.where(painted <= 0.04045, painted / 12.92, ((painted + 0.055) / 1.055) ** 2.4)
    lightness = np.cbrt(linear @ [0.2126, 0.7152, 0.0722])
    assert np.all(np.diff(lightness) >= 0)


def test_a_constant_map_has_one_colour() -> None:
    assert len(np.unique(colours(np.full((3, 3), 7.0), 7, 7).reshape(-1, 4), axis=0)) == 1


def test_binning_keeps_the_mean_and_passes_over_gaps() -> None:
    cells = np.random.default_rng(0).normal(size=(4 * MOST_CELLS, 2 * MOST_CELLS))
    small = binned(cells)
    assert small.shape == (MOST_CELLS, MOST_CELLS)
    assert_identity(small.mean(), cells.mean())
    assert_identity(small[0, 0], cells[:4, :2].mean())
    cells[0, 0] = np.nan
    assert_identity(binned(cells)[0, 1], cells[:4, 2:4].mean())
    assert np.isfinite(binned(cells)[0, 0])
    cells[:4, :2] = np.nan
    assert np.isnan(binned(cells)[0, 0])


def test_a_panel_names_its_extents_and_what_colours_mean(tmp_path: Path) -> None:
    run = example.example_run(tmp_path / "run", audited=False)
    grid = example.grid(run)
    first, _, third = panels(run, grid, "g", None)
    assert "first component" in first.svg
    assert first.svg.count("−2") == 2
    assert 'id="g-0-scale"' in first.svg
    assert "url(#g-0-scale)" in first.svg
    assert third.alternative == "difference: values from −4 to 4"
    shared = panels(run, grid.model_copy(update={"shared_scale": True}), "g", None)
    assert {panel.alternative.partition(":")[2] for panel in shared} == {" values from −4 to 4"}
    assert [("linearGradient" in panel.svg) for panel in shared] == [False, False, False, True]
    with pytest.raises(DataError, match="holds 3 panels but has 1 names"):
        panels(run, grid.model_copy(update={"panel_names": ("one",)}), "g", None)


def test_a_map_without_a_number_can_be_shown(tmp_path: Path) -> None:
    run = example.example_run(tmp_path / "run", audited=False)
    grid = example.grid(run)
    run.save_array("fields", np.full((3, 2, 2), np.inf))
    assert all("<svg" in panel.svg for panel in panels(run, grid, "g", None))
