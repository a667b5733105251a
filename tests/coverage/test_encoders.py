"""Encoders from files: what is sound is run, what could run Python is not."""

import io
import json
import pickle
import subprocess
import sys
import types
import warnings
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.tolerances import assert_single

from theodolite.coverage import encoders
from theodolite.coverage.encoders import load_encoder
from theodolite.kernel.errors import DataError, UsageError


class Small(torch.nn.Module):
    """Grey images of 8 × 8 to five features, maps to be averaged."""

    def __init__(self, pooled=True, norm=False):
        super().__init__()
        torch.manual_seed(0)
        self.convolution = torch.nn.Conv2d(1, 5, 3)
        self.norm = torch.nn.BatchNorm2d(5) if norm else torch.nn.Identity()
        self.pooled = pooled

    def forward(self, x):
        maps = torch.relu(self.norm(self.convolution(x)))
        return maps.mean((2, 3)) if self.pooled else maps


IMAGES = np.random.default_rng(0).integers(0, 256, (150, 8, 8)).astype(np.uint8)


def expected(images=IMAGES):
    with torch.inference_mode():
        return Small()(torch.from_numpy(images)[:, None] / 255).numpy()


def exported(path, module=None, batch=None):
    size = batch or 4
    dynamic = None if batch else ({0: torch.export.Dim("batch")},)
    program = torch.export.export((module or Small()).eval(), (torch.rand(size, 1, 8, 8),), dynamic_shapes=dynamic)
    torch.export.save(program, path)
    return path


def scripted(path, module):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(module.eval()).save(str(path))
    return path


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return exported(tmp_path_factory.mktemp("encoder") / "small.pt2")


def test_an_exported_program_encodes_images_in_batches(sound):
    assert_single(load_encoder(str(sound))(IMAGES), expected())


def test_one_made_for_a_fixed_batch_and_maps_are_averaged(tmp_path):
    path = exported(tmp_path / "fixed.pt2", Small(pooled=False), batch=7)
    assert_single(load_encoder(str(path))(IMAGES), expected())


def test_a_torchscript_file(tmp_path):
    path = scripted(tmp_path / "small.ts", Small())
    assert_single(load_encoder(str(path))(IMAGES), expected())


def test_an_answer_does_not_hang_on_the_place_in_a_batch(sound):
    encode = load_encoder(str(sound))
    np.testing.assert_array_equal(encode(IMAGES[:70])[64:], encode(IMAGES[64:70]))


def rewritten(source, target, change):
    """Copy an archive, its entries changed or dropped by `change(name, content)`."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            content = change(info.filename.partition("/")[2], old.read(info))
            if content is not None:
                new.writestr(info.filename, content)
    return target


class Evil:
    def __reduce__(self):
        return exec, ("raise SystemExit('a pickle was executed')",)


def _evil(name):
    file = io.BytesIO()
    torch.save({"x": Evil()}, file)

    def change(entry, content):
        if name == "sample inputs" and entry.startswith("data/sample_inputs/"):
            return file.getvalue()
        if name == "weights" and entry.endswith("weights_config.json"):
            return json.dumps({"config": {"w": {"path_name": "weight_0", "is_param": True, "use_pickle": True}}})
        if name == "an expression" and entry == "models/model.json":
            text = content.decode()
            assert "expr_str" in text
            return text.replace('"expr_str": "', '"expr_str": "eval(chr(49)) + ').replace(
                '"expr_str":"', '"expr_str":"eval(chr(49)) + '
            )
        return content

    return change


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sample inputs", "cannot be read as an encoder"),
        ("weights", "pickled weights"),
        ("an expression", "no arithmetic of sizes"),
    ],
)
def test_what_would_run_python_in_a_pt2_file_is_refused(sound, tmp_path, name, said):
    path = rewritten(sound, tmp_path / "evil.pt2", _evil(name))
    with pytest.raises(DataError, match=said):
        load_encoder(str(path))


def test_compiled_libraries_and_doubled_names_are_refused(sound, tmp_path):
    for entry, said in (("data/aotinductor/model/x.so", "compiled or pickled"), ("version", "archive of one model")):
        path = tmp_path / "more.pt2"
        path.write_bytes(sound.read_bytes())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            with zipfile.ZipFile(path, "a") as archive:
                folder = archive.namelist()[0].partition("/")[0]
                archive.writestr(f"{folder}/{entry}", b"0")
                if entry == "version":
                    archive.writestr(f"{folder}/{entry}", b"1")
        with pytest.raises(DataError, match=said):
            load_encoder(str(path))


class ReadsFiles(torch.nn.Module):
    def forward(self, x):
        return x.flatten(1) + torch.from_file("/etc/hostname", size=1)[0]


def test_a_torchscript_file_that_reads_files_is_refused(tmp_path):
    path = scripted(tmp_path / "spy.ts", ReadsFiles())
    with pytest.raises(DataError, match="from_file"):
        load_encoder(str(path))


def test_files_that_are_no_encoders_are_one_line(tmp_path, sound):
    torch.save(Small().state_dict(), tmp_path / "weights.pt")
    (tmp_path / "pickle.pt").write_bytes(pickle.dumps(Evil()))
    (tmp_path / "text.pt2").write_text("no archive")
    (tmp_path / "cut.pt2").write_bytes(sound.read_bytes()[:2000])
    for name, said in (
        ("weights.pt", "no TorchScript"),
        ("pickle.pt", "cannot be read as an encoder"),
        ("text.pt2", "cannot be read as an encoder"),
        ("cut.pt2", "cannot be read as an encoder"),
        ("absent.pt2", "no encoder at"),
    ):
        with pytest.raises(DataError, match=said) as raised:
            load_encoder(str(tmp_path / name))
        assert "\n" not in str(raised.value)


def test_an_archive_that_unpacks_beyond_the_budget_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(encoders, "LARGEST_BYTES", 2**20)
    with zipfile.ZipFile(tmp_path / "bomb.pt2", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/models/model.json", b"0" * 2**22)
    with pytest.raises(DataError, match="unpacks to more than"):
        load_encoder(str(tmp_path / "bomb.pt2"))


def test_samples_of_another_shape_are_told_apart_from_a_defect(sound):
    with pytest.raises(DataError, match="fails on samples of shape"):
        load_encoder(str(sound))(np.zeros((10, 8, 8, 3), dtype=np.uint8))


def test_packages_that_are_missing_are_named():
    for source in ("timm:resnet18", "transformers:facebook/dinov2-small"):
        package = source.split(":")[0]
        if package in sys.modules:
            continue
        with pytest.raises(UsageError, match=f"needs {package}"):
            load_encoder(source)


def test_a_network_of_timm_gets_images_as_it_was_trained_on(tmp_path, monkeypatch):
    """timm is not installed here: a module with its interface stands in for it, weights from a file and all."""
    save_file(Small().state_dict(), tmp_path / "small.safetensors")

    def create_model(name, pretrained, num_classes, pretrained_cfg_overlay):
        assert (name, pretrained, num_classes) == ("small", True, 0)
        network = Small()
        network.load_state_dict(load_file(pretrained_cfg_overlay["file"]))
        network.pretrained_cfg = {"input_size": (1, 8, 8), "mean": (0.5,), "std": (0.25,)}
        return network

    monkeypatch.setitem(sys.modules, "timm", types.SimpleNamespace(create_model=create_model))
    found = load_encoder(f"timm:small@{tmp_path / 'small.safetensors'}")(IMAGES)
    with torch.inference_mode():
        wanted = Small()((torch.from_numpy(IMAGES)[:, None] / 255 - 0.5) / 0.25).numpy()
    assert_single(found, wanted)
    with pytest.raises(DataError, match=r"not \.safetensors"):
        load_encoder(f"timm:small@{tmp_path / 'small.bin'}")
    with pytest.raises(DataError, match="cannot be loaded"):
        load_encoder("timm:other")


def test_the_audit_of_plain_vectors_loads_no_torch():
    code = (
        "import sys, numpy as np; from theodolite import audit_coverage; r = np.random.default_rng(0);"
        "audit_coverage(r.normal(size=(60, 2)), r.normal(size=(150, 2)), features='standardised');"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=200).returncode == 0
