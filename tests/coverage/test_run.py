"""An audit from a run folder: what the command line does."""

import json
import os
import shutil
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from theodolite import families
from theodolite.coverage import stages
from theodolite.coverage.exhibits import coverage_exhibits
from theodolite.coverage.result import CoverageResult
from theodolite.coverage.words import coverage_sentences
from theodolite.data.digits import digits, split
from theodolite.kernel.exhibits import Chart, Gallery, Table
from theodolite.kernel.runs import RunFolder


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    rng = np.random.default_rng(0)
    np.save(folder / "real.npy", np.r_[rng.normal(0, 1, (350, 2)), rng.normal(7, 1, (50, 2))])
    np.save(folder / "train.npy", np.r_[rng.normal(0, 1, (350, 2)), rng.normal(7, 1, (50, 2))])
    np.savez(folder / "fake.npz", samples=rng.normal(0, 1, (3000, 2)))
    return folder


@pytest.fixture(scope="module")
def audited(files, tmp_path_factory):
    run = families.train(
        "coverage",
        tmp_path_factory.mktemp("runs") / "run",
        real=str(files / "real.npy"),
        fake=str(files / "fake.npz"),
        train=str(files / "train.npy"),
    )
    return run, families.audit(run)


def test_every_prediction_is_measured_and_holds(audited):
    run, found = audited
    assert [finding.prediction for finding in found.findings] == list(run.plan.predictions)
    assert {finding.verdict for finding in found.findings} == {"holds"}


def test_falsified_predictions_fail(audited):
    run, found = audited
    plan = run.plan
    beyond = {"lower bound": 1.0, "upper bound": -1.0}  # what cannot be
    changed = [
        prediction.model_copy(update={"value": beyond.get(prediction.claim, prediction.value + 0.5)})
        for prediction in plan.predictions
    ]
    run.write_record("plan.json", plan.model_copy(update={"predictions": tuple(changed)}))
    try:
        again = families.audit(run)
    finally:
        run.write_record("plan.json", plan)
        run.write_record("audit.json", found)
    assert {finding.verdict for finding in again.findings} == {"fails"}
    assert again.failed


def test_words_are_computed_from_the_numbers(audited):
    run, found = audited
    result = CoverageResult.model_validate_json((run.path / "coverage.json").read_bytes())
    assert found.sentences == tuple(coverage_sentences(result))
    assert f"At least {100 * result.missed_mass.lower:.1f}%" in found.sentences[0]
    assert f"{result.missed.sum()} of 400" in found.sentences[1]
    assert "train set" in found.sentences[2]
    assert len(found.sentences) == 4
    clean = result.model_copy(
        update={"missed": np.zeros(400, bool), "missed_mass": result.missed_mass.model_copy(update={"lower": 0.0})}
    )
    told = coverage_sentences(clean.model_copy(update={"train_gap": None}))
    assert told[0].startswith("The two distributions share at most")
    assert told[1].startswith("No part of the data is found")
    assert len(told) == 2
    vacuous = result.overlap.model_copy(update={"upper": 1.0})
    told = coverage_sentences(clean.model_copy(update={"train_gap": None, "overlap": vacuous}))
    assert told[1].endswith("no difference is certified.")
    assert not any("at most 100" in sentence for sentence in told)
    named = result.model_copy(update={"missed_mass": clean.missed_mass, "train_gap": None})
    assert coverage_sentences(named)[0].startswith("By estimate")
    assert coverage_sentences(clean.model_copy(update={"missed_mass": result.missed_mass}))[1].startswith("None of 400")


def test_where_the_samples_came_from_is_kept(audited, files):
    origin = audited[0].read_json("data.json")
    assert origin["real"]["path"] == str(files / "real.npy")
    assert len(origin["fake"]["sha256"]) == 64


def test_exhibits_of_vectors_are_a_map_two_curves_and_a_table(audited):
    found = audited[1]
    kinds = [exhibit.kind for exhibit in found.exhibits]
    assert kinds == ["chart", "grid", "table", "slider", "chart", "chart", "table", "table"]
    chart = found.exhibits[0]
    assert isinstance(chart, Chart)
    assert {name for layer in chart.layers for name in layer.columns["series"]} == {
        "real",
        "generated",
        "real, named missed",
    }
    table = found.exhibits[-2]
    assert isinstance(table, Table)
    assert table.rows[0][1].startswith("at least")
    peers = found.exhibits[-1]
    assert isinstance(peers, Table)
    assert peers.title.startswith("Coverage by neighbours reads 0.")
    groups = found.exhibits[2]
    assert isinstance(groups, Table)
    assert groups.title == "The missed samples form one group, and it is certified"


@pytest.mark.parametrize("width", [1, 5])
def test_exhibits_of_the_line_and_of_more_dimensions(audited, tmp_path, width):
    run, _ = audited
    result = CoverageResult.model_validate_json((run.path / "coverage.json").read_bytes())
    rng = np.random.default_rng(1)
    shown = coverage_exhibits(result, rng.normal(size=(400, width)), rng.normal(size=(3000, width)), run)
    assert isinstance(shown[0], Chart)
    assert shown[0].x_title == ("x" if width == 1 else "first principal direction of the real samples")


def test_reals_that_do_not_vary_are_drawn_without_a_warning(audited):
    run, _ = audited
    result = CoverageResult.model_validate_json((run.path / "coverage.json").read_bytes())
    shown = coverage_exhibits(result, np.ones((400, 5)), np.zeros((3000, 5)), run)
    assert isinstance(shown[0], Chart)


def test_exhibits_of_images_are_a_gallery_beside_the_nearest(audited):
    run, _ = audited
    result = CoverageResult.model_validate_json((run.path / "coverage.json").read_bytes())
    images, _ = digits()
    real, fake = images[:400], np.tile(images, (2, 1, 1))[:3000]
    for given, shape in ((real, None), (real.reshape(400, 64), (8, 8)), (real[..., None], (8, 8, 1))):
        gallery = coverage_exhibits(result, given, fake.reshape(3000, *given.shape[1:]), run, shape)[0]
        assert isinstance(gallery, Gallery)
        assert "missed" in gallery.labels[0]
        tiles = np.load(run.exhibits / gallery.array)
        assert tiles.shape == (24, 8, 8)
        assert tiles.dtype == np.uint8
        assert tiles.max() == 255


def test_a_report_is_written(audited):
    page = families.write_report(audited[0]).read_text(encoding="utf-8")
    assert "real samples lie where almost nothing is generated" in page


def _theodolite(*words, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "theodolite", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def test_command_line_on_folders_of_images(tmp_path):
    images, labels = digits()
    rest, held_out = split(len(images), 0.25, 0)
    for name, chosen in (("real", held_out), ("fake", rest[labels[rest] != 0])):
        (tmp_path / name).mkdir()
        for number in chosen:
            Image.fromarray(np.uint8(255 * images[number])).save(tmp_path / name / f"{number}.png")
    words = ["--real", "real", "--fake", "fake", "--tau", "0.3", "--alpha", "0.2"]
    done = _theodolite("coverage", "audit", *words, "--out", "run", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["exhibits"][0]["kind"] == "gallery"
    assert RunFolder.open(tmp_path / "run").audit.family == "coverage"


def test_command_line_draws_from_a_function(tmp_path, files):
    (tmp_path / "mygenerator.py").write_text(
        "import numpy as np\ndef sample(n):\n    return np.random.default_rng(0).normal(size=(n, 2))\n"
        "def short(n):\n    return sample(n - 1)\n"
        "def ragged(n):\n    return [[1], [1, 2]]\n"
        "def nothing(n):\n    return None\n"
        "def broken(n):\n    return n / 0\n"
    )
    words = ["coverage", "audit", "--real", str(files / "real.npy"), "--fakes", "500", "--out", "run"]
    done = _theodolite(*words, "--fake", "mygenerator:sample", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for name, said in (
        ("short", "was asked for 500 samples and gave 499"),
        ("ragged", "gave samples of several shapes; all must have one"),
        ("nothing", "gave a NoneType; an array of 500 samples is needed"),
        ("broken", "failed with ZeroDivisionError: division by zero"),
    ):
        done = _theodolite(*words, "--fake", f"mygenerator:{name}", "--force", cwd=tmp_path)
        assert done.returncode == 3
        assert done.stderr.strip() == f"theodolite: mygenerator:{name} {said}"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "--real"),
        (["--real", "no.npy", "--fake", "no.npy"], 3, "nothing at no.npy"),
        (["--real", "text.csv", "--fake", "text.csv"], 3, "text.csv"),
        (["--real", "empty", "--fake", "empty"], 3, "no images in empty"),
        (["--tau", "2"], 2, "tau"),
    ],
)
def test_bad_input_at_the_command_line(tmp_path, words, code, said):
    (tmp_path / "text.csv").write_text("a,b\n1,x\n")
    (tmp_path / "empty").mkdir()
    done = _theodolite("coverage", "audit", *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Digits as images, the zeros kept from the "generator"; one name is a formula. And a file of labels."""
    folder = tmp_path_factory.mktemp("folders")
    images, labels = digits()
    rest, held_out = split(len(images), 0.25, 0)
    for name, chosen in (("real", held_out), ("fake", rest[labels[rest] != 0])):
        (folder / name).mkdir()
        for number in chosen:
            start = "=1+" if labels[number] == 0 else ""
            Image.fromarray(np.uint8(255 * images[number])).save(folder / name / f"{start}{number}.png")
    in_order = sorted((folder / "real").iterdir())
    names = [str(labels[int(path.stem.removeprefix("=1+"))]) for path in in_order]
    (folder / "labels.txt").write_text("\n".join(names) + "\n")
    return folder, names


def test_command_line_with_labels_and_features_lists_files_by_name(folders):
    folder, names = folders
    images = np.stack([np.asarray(Image.open(path)) for path in sorted((folder / "real").iterdir())])
    fakes = np.stack([np.asarray(Image.open(path)) for path in sorted((folder / "fake").iterdir())])
    for name, pixels in (("r", images), ("f", fakes)):
        np.save(folder / f"{name}.npy", pixels.reshape(len(pixels), -1).astype(np.float32) / 16)
    words = ["--real", "real", "--fake", "fake", "--labels", "labels.txt", "--features", "r.npy,f.npy"]
    words += ["--tau", "0.5", "--alpha", "0.3", "--out", "labelled"]
    done = _theodolite("coverage", "audit", *words, cwd=folder)
    assert done.returncode == 0, done.stderr
    run = RunFolder.open(folder / "labelled")
    result = CoverageResult.model_validate_json((run.path / "coverage.json").read_bytes())
    assert result.features == "given features"
    zeros = next(group for group in result.groups if (group.kind, group.name) == ("label", "0"))
    assert zeros.samples == names.count("0")
    assert zeros.named > zeros.samples / 2
    rows = (run.path / "missed.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "index,file,p,D,group"
    assert len(rows) == 1 + result.missed.sum()
    assert sum(row.split(",")[1].startswith("'=1+") for row in rows) == zeros.named
    page = families.write_report(run).read_text(encoding="utf-8")
    assert "Of the label 0, at least" in page or "No label is certified" in page
    assert "≥ 0.0%" not in page
    assert "nothing can be certified with so many samples" in page
    assert 'type="range"' in page


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:60]), "cannot be read as an image"),
        (lambda path: Image.fromarray(np.zeros((9, 8), np.uint8)).save(path), "bring real to one size"),
        (lambda path: path.write_bytes(_bomb()), "at most 67,108,864 are decoded"),
    ],
)
def test_images_that_are_corrupt_of_another_size_or_a_bomb(folders, tmp_path, spoil, said):
    shutil.copytree(folders[0] / "real", tmp_path / "real")
    spoil(sorted((tmp_path / "real").iterdir())[3])
    done = _theodolite("coverage", "audit", "--real", "real", "--fake", str(folders[0] / "fake"), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def _bomb():
    """A PNG of a hundred bytes that says it is 9,000 × 9,000 pixels."""
    head = struct.pack(">IIBBBBB", 9_000, 9_000, 8, 0, 0, 0, 0)
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, content in ((b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")):
        parts.append(struct.pack(">I", len(content)) + kind + content)
        parts.append(struct.pack(">I", zlib.crc32(kind + content)))
    return b"".join(parts)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"a\nb\n", "one label is needed for each of 400"), (b"\xff\xfe\xfa", "no text in UTF-8"), (None, "cannot read")],
)
def test_labels_that_do_not_fit_are_one_line(files, tmp_path, content, said):
    if content is not None:
        (tmp_path / "labels.txt").write_bytes(content)
    words = ["--real", str(files / "real.npy"), "--fake", str(files / "fake.npz"), "--labels", "labels.txt"]
    done = _theodolite("coverage", "audit", *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert said in done.stderr
    assert not (tmp_path / "runs" / "coverage").exists()


def test_the_course_is_told_by_lines_now_and_then(capsys, monkeypatch):
    monkeypatch.setattr(stages, "SECONDS_BETWEEN_LINES", 0.0)
    with stages.told_on_stderr("coverage") as tell:
        tell("reading")
        tell("fitting")
    lines = capsys.readouterr().err.splitlines()
    assert lines[1].startswith("coverage: fitting (stage 2 of 8, ")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with stages.told_on_stderr("coverage") as tell:
        tell("reading")
    monkeypatch.undo()
    with stages.told_on_stderr("coverage") as tell:
        tell("reading")  # nothing is told of what takes no time
