import json
import shutil

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from scipy import stats
from tests.tolerances import assert_identity, assert_single
from tests.video_unet.conftest import TINY

from theodolite import families
from theodolite.kernel.exhibits import Table
from theodolite.kernel.runs import RunFolder
from theodolite.video_unet.audit import matching_maps
from theodolite.video_unet.blueprint import SHAPE_COLUMN
from theodolite.video_unet.config import VideoUNetConfig
from theodolite.video_unet.samples import samples
from theodolite.video_unet.trained import Trained, clip_psnr, hidden_psnr, mean_and_uncertainty


@pytest.fixture(scope="module")
def audit(tiny_run):
    return families.audit(tiny_run)


def finding(audit, name):
    return next(each for each in audit.findings if each.prediction.name == name)


def test_psnr_against_a_slow_formula():
    random = np.random.default_rng(0)
    original, made = random.random((2, 3, 2, 4, 5, 3))
    for number in range(3):
        squares = [(a - b) ** 2 for a, b in zip(original[number].flat, made[number].flat, strict=True)]
        assert_identity(clip_psnr(original, made)[number], 20 * np.log10(1 / np.sqrt(sum(squares) / len(squares))))
    assert clip_psnr(original, original).tolist() == [np.inf] * 3


def test_the_interval_is_student_s():
    values = np.random.default_rng(1).normal(20, 3, 12)
    mean, half = mean_and_uncertainty(values)
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert_identity([mean - half, mean + half], [low, high])


def test_what_is_exact_holds_exactly(audit):
    for name in (
        "parameters",
        "maps_as_planned",
        "dead_weights",
        "multiply_adds",
        "multiply_adds_inside",
        "kept_bytes",
        "receptive_field",
    ):
        assert finding(audit, name).verdict == "holds"
        assert finding(audit, name).prediction.value == finding(audit, name).measurement.value
    assert finding(audit, "psnr_cosine_code").verdict == "holds"


def test_the_measured_psnr_is_that_of_the_networks(audit, tiny_run):
    config = tiny_run.settings(VideoUNetConfig)
    held_out = samples(config).held_out
    network = Trained.load(tiny_run, config, held_out).networks["without_skips"].double()
    psnr = []
    for clip in held_out:
        x = torch.from_numpy(clip).movedim(-1, 0)[None].double() / 255.0
        with torch.no_grad():
            error = (network(x).clamp(0, 1) - x).square().mean().item()
        psnr.append(-10 * np.log10(error))
    assert_single(finding(audit, "psnr_without_skips").measurement.value, np.mean(psnr))


def test_the_sentences_carry_the_measured_numbers(audit):
    with_skips, without = (finding(audit, f"psnr_{name}").measurement.value for name in ("with_skips", "without_skips"))
    assert f"{with_skips:.1f} dB" in audit.sentences[0]
    assert f"{without:.1f} dB" in audit.sentences[1]
    assert len(audit.sentences) == 4
    assert len(audit.figures) == 4


def test_the_strips_play_original_reconstructions_and_errors(audit, tiny_run):
    strip = next(each for each in audit.exhibits if each.kind == "strip")
    array = np.load(tiny_run.exhibits / strip.array, allow_pickle=False)
    assert array.shape == (5, 5, 12, 10, 3)
    assert array.dtype == np.uint8
    assert len(strip.row_names) == 5
    difference = np.abs(array[1].astype(int) - array[0]).mean(axis=-1, keepdims=True)
    assert np.abs(np.minimum(4 * difference, 255) - array[2]).max() <= 4  # rounding of both, four times brighter
    assert strip.row_names[2] == "error with skips"


def test_a_table_with_one_wrong_size_is_noticed(tiny_run, tmp_path):
    """The table of maps is a prediction like any other: falsify one cell, and the count of maps no longer agrees."""
    folder = tmp_path / "run"
    shutil.copytree(tiny_run.path, folder)
    run = RunFolder(folder)
    plan = run.plan
    table = next(each for each in plan.exhibits if isinstance(each, Table))
    rows = [list(row) for row in table.rows]
    rows[3][SHAPE_COLUMN] = "3×6×5×4"
    wrong = table.model_copy(update={"rows": tuple(tuple(row) for row in rows)})
    exhibits = tuple(wrong if each is table else each for each in plan.exhibits)
    run.write_record("plan.json", plan.model_copy(update={"exhibits": exhibits}))
    with safe_open(run.weights, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # safe_open is no mapping
    save_file(tensors, run.weights, metadata={"plan": run.plan.digest()})
    audit = families.audit(run)
    assert finding(audit, "maps_as_planned").verdict == "fails"
    assert any(f"{len(rows) - 1} of {len(rows)} planned maps" in sentence for sentence in audit.sentences)


def test_maps_are_matched_by_name_and_size(tiny_run):
    plan = tiny_run.plan
    assert matching_maps(plan, {}) == 0
    assert matching_maps(plan, {"input": "5×12×10×3", "head": "1×1×1×1"}) == 1


def test_an_audit_is_written_and_read_back(audit, tiny_run):
    assert tiny_run.audit == audit
    assert json.loads((tiny_run.path / "audit.json").read_text())["family"] == "video-unet"


@pytest.mark.parametrize(
    ("corruption", "untrained", "words"),
    [
        ("masked", "psnr_interpolation", "Of every frame that was hidden, the network with skips makes"),
        ("blocks", "psnr_interpolation", "Of every block that was hidden, the network with skips makes"),
        ("noise", "psnr_wiener", "Of clips under noise at 20.0 dB, the network with skips makes"),
    ],
)
def test_what_was_not_shown_is_judged_beside_what_needs_no_training(tmp_path, corruption, untrained, words):
    run = families.train("video-unet", tmp_path, steps=40, device="cpu", **{**TINY, "corruption": corruption})
    audit = families.audit(run)
    assert finding(audit, untrained).verdict == "holds"
    # that skips do not harm is said of the optimum, which so few steps need not find
    assert all(each.verdict != "fails" for each in audit.findings if each.prediction.name != "gain_of_skips")
    assert audit.sentences[0].startswith(words)
    assert f"makes {finding(audit, untrained).measurement.value:.1f} dB" in audit.sentences[1]
    assert len(audit.sentences) <= 4
    assert len(audit.figures) == 4
    strip = next(each for each in audit.exhibits if each.kind == "strip")
    assert strip.row_names[:2] == ("original", "what was shown")
    if corruption != "noise":
        assert finding(audit, "psnr_hidden_with_skips").prediction.claim == "lower bound"


def test_a_network_of_other_sides_along_each_axis_is_as_planned(tmp_path):
    fields = {**TINY, "kernel": "1,3,3", "pool": "1,2,2", "up": "resize", "code_channels": 5, "compare_skips": False}
    audit = families.audit(families.train("video-unet", tmp_path, steps=20, device="cpu", **fields))
    exact = [each for each in audit.findings if each.prediction.claim == "exact"]
    assert len(exact) == 10
    assert all(each.verdict == "holds" for each in exact)


def test_the_psnr_of_hidden_pixels_counts_them_alone():
    random = np.random.default_rng(0)
    original, made = random.random((2, 2, 3, 4, 5, 3))
    hidden = random.random((2, 3, 4, 5)) < 0.5
    for number in range(2):
        squares = [
            np.sum((original[number] - made[number])[place] ** 2)
            for place in zip(*np.nonzero(hidden[number]), strict=True)
        ]
        expected = -10 * np.log10(np.sum(squares) / (3 * len(squares)))
        assert_identity(hidden_psnr(original, made, hidden)[number], expected)


def test_frames_are_measured_one_by_one(audit):
    titles = [each.title for each in audit.exhibits]
    assert any(title.startswith("PSNR with skips goes from") for title in titles)
    assert any(title.startswith("SSIM with skips goes from") for title in titles)
    table = next(each for each in audit.exhibits if isinstance(each, Table))
    assert len(table.rows) == 5
