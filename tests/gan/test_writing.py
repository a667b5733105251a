"""A trained generator for others: files of samples, and a program that runs without this library."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file
from tests.tolerances import assert_single

from theodolite import families
from theodolite.data.images import load_images
from theodolite.engine.sampling import normal
from theodolite.gan.samples import STEP, TrainedGAN
from theodolite.gan.writing import export_program, write_samples
from theodolite.kernel.errors import DataError, UsageError
from theodolite.kernel.runs import RunFolder

SMALL = {"steps": 2, "width": 4, "depth": 1, "device": "cpu"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run on digits, one on points and one on a folder of small colour images."""
    folder = tmp_path_factory.mktemp("writing")
    pictures = folder / "pictures"
    pictures.mkdir()
    for number, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (60, 9, 12, 3), dtype=np.uint8)):
        Image.fromarray(pixels).save(pictures / f"{number:02d}.png")
    data = {"digits": "digits", "line": "line", "pictures": str(pictures)}
    return {name: families.train("gan", folder / f"run-{name}", data=source, **SMALL) for name, source in data.items()}


def test_arrays_have_the_shape_and_grain_of_the_data(runs, tmp_path):
    made = np.load(write_samples(runs["digits"], 7, tmp_path / "made.npy"))
    assert made.shape == (7, 8, 8)
    assert made.dtype == np.float64
    np.testing.assert_array_equal(made * 16, np.round(made * 16))
    named = load_file(write_samples(runs["digits"], 7, tmp_path / "made.safetensors"))
    np.testing.assert_array_equal(named["samples"], made)


def test_images_are_read_back_as_the_array(runs, tmp_path):
    folder = write_samples(runs["pictures"], 12, tmp_path / "made")
    array = np.load(write_samples(runs["pictures"], 12, tmp_path / "made.npy"))
    units = TrainedGAN(runs["pictures"]).units
    read = load_images(folder, 2**20)
    assert read.shape == (12, 9, 12, 3)
    np.testing.assert_array_equal(read, np.round(255 * (array - units.low) / (units.high - units.low)))
    assert [path.name for path in sorted(folder.iterdir())][::11] == ["000000.png", "000011.png"]


@pytest.mark.parametrize(
    ("name", "count", "out", "says"),
    [
        ("digits", 0, "a.npy", "-n 0 must lie between 1"),
        ("digits", 3, "a.png", "ending in .npy"),
        ("digits", 3, "no/a.npy", "where a folder exists"),
        ("line", 3, "made", "no images; give --out a file ending in .npy"),
        ("digits", 3, ".", "not an empty folder"),
    ],
)
def test_what_cannot_be_meant_is_refused(runs, tmp_path, name, count, out, says):
    (tmp_path / "there").touch()
    with pytest.raises(UsageError, match=says):
        write_samples(runs[name], count, tmp_path / out)


def test_a_run_of_another_family_is_refused(tmp_path):
    other = families.train("linear-vae", tmp_path / "vae", steps=1, device="cpu")
    with pytest.raises(DataError, match="is a run of linear-vae"):
        write_samples(other, 3, tmp_path / "a.npy")


def test_a_run_without_weights_says_how_to_go_on(tmp_path):
    from theodolite.gan.config import GANConfig, GANTraining
    from theodolite.gan.dataset import load, record
    from theodolite.gan.plan import plan

    config = GANConfig(data="line")
    begun = RunFolder.create(tmp_path / "begun", "gan", config, GANTraining(), plan(config))
    record(begun, config, load(config))
    with pytest.raises(DataError, match="continue it with --resume"):
        write_samples(begun, 3, tmp_path / "a.npy")


ELSEWHERE = """
import sys
import numpy, torch
program = torch.export.load(sys.argv[1]).module()
numpy.save(sys.argv[3], program(torch.from_numpy(numpy.load(sys.argv[2]))).numpy())
assert "theodolite" not in sys.modules
"""


def test_the_program_gives_the_same_samples_without_this_library(runs, tmp_path):
    told = export_program(runs["pictures"], tmp_path / "made.pt2")
    trained = TrainedGAN(runs["pictures"])
    assert told["takes"].startswith(f"(batch, {trained.latent_dim})")
    latent = normal(trained.seed, STEP, torch.arange(5), "samples", (trained.latent_dim,))
    np.save(tmp_path / "latent.npy", latent.numpy())
    paths = [tmp_path / each for each in ("made.pt2", "latent.npy", "out.npy")]
    subprocess.run([sys.executable, "-c", ELSEWHERE, *map(str, paths)], check=True)
    difference = np.abs(np.load(paths[2]) - trained.draw(5))
    assert difference.shape == (5, 9, 12, 3)
    # a float32 sum on the edge between two grey values may fall to the other side
    assert difference.max() <= trained.units.grain
    assert (difference > 0).mean() < 0.001


def test_a_program_takes_any_number_of_draws(runs, tmp_path):
    export_program(runs["line"], tmp_path / "made.pt2")
    program = torch.export.load(tmp_path / "made.pt2").module()
    trained = TrainedGAN(runs["line"])
    for count in (1, 9):
        latent = normal(trained.seed, STEP, torch.arange(count), "samples", (trained.latent_dim,))
        assert_single(program(latent).numpy(), trained.draw(count))


def test_a_program_is_written_to_pt2_only(runs, tmp_path):
    with pytest.raises(UsageError, match="must be a file ending in \\.pt2"):
        export_program(runs["line"], tmp_path / "made.onnx")
