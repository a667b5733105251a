"""Encoders of images from a user's file, or from timm or transformers where these are installed.

**What is safe, and what is not.** Files are read under budgets, and what could run Python is refused: pickled weights
or constants, compiled libraries and expressions beyond arithmetic in ``.pt2``; archives without TorchScript code;
operators that read or write files, and operators that are not torch's own. So no Python of a file runs here. But an
encoder is a program: its operators run in this process, their time is not limited, and a defect of torch's own readers
is not ruled out. This is no sandbox; use encoders from people you trust.
"""

import io
import json
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from theodolite.kernel.errors import DataError, UsageError

Samples = NDArray[Any]

LARGEST_BYTES = 4 * 2**30  # of a file, packed and unpacked
MOST_ENTRIES = 100_000
BATCH = 64
# of a symbolic size in a .pt2 file: its reader evaluates them as Python, so only these words and signs may be in one
_WORDS = (
    "Symbol Integer Rational Add Mul Pow Max Min FloorDiv CeilDiv CleanDiv IntTrueDiv Mod PythonMod ModularIndexing "
    "Eq Ne Ge Gt Le Lt And Or Not oo int_oo true false True False positive nonnegative nonzero integer real"
)
_EXPRESSION = re.compile(rf"(?:\b(?:{'|'.join(_WORDS.split())}|[suzif]?\d+)\b|'[suzif]\d+'|[-+*/(), <>=&|~])*")
_OPERATORS = re.compile(r"torch\.ops\.aten\.(?!(from_file|save|load)\b)|_operator\.|torch\.sym_|math\.|operator\.")
_SCRIPTED = re.compile(r"(aten|prim)::(?!(from_file|save|load|print|Print|PythonOp)\b)")


def load_encoder(source: str) -> Callable[[Samples], Samples]:
    """Load an encoder.

    Parameters
    ----------
    source : str
        A ``.pt2`` file (torch.export) or a TorchScript file, whose program takes a float32 tensor; images reach it as
        (batch, channels, height, width) between 0 and 1, anything else as it is. Or ``timm:NAME@FILE`` with weights as
        safetensors; ``timm:NAME`` with those that timm keeps or, being asked by name, fetches; or
        ``transformers:FOLDER_OR_NAME`` from this machine alone.

    Returns
    -------
    callable
        From samples (n, …) to features (n, d); maps are averaged over their positions.

    Raises
    ------
    UsageError
        If a package is not installed.
    DataError
        If a file is missing, not sound, or holds what could run as Python.
    """
    kind, _, name = source.partition(":")
    if kind == "timm":
        return _of_timm(name)
    if kind == "transformers":
        return _of_transformers(name)
    path = Path(source)
    if not path.is_file():
        raise DataError(f"no encoder at {path}; give a .pt2 or TorchScript file")
    if path.stat().st_size > LARGEST_BYTES:
        raise DataError(f"{path} has {path.stat().st_size / 2**30:.1f} GiB; at most {LARGEST_BYTES // 2**30} are read")
    content = path.read_bytes()
    try:
        network, batch = _exported(content, path) if path.suffix.lower() == ".pt2" else (_scripted(content, path), None)
    except DataError:
        raise
    except Exception as error:  # torch's readers fail in many ways on what is damaged
        said = str(error).splitlines()
        raise DataError(f"{path} cannot be read as an encoder: {said[0] if said else type(error).__name__}") from None
    return _Encoder(network, str(path), batch)


class _Encoder:
    """A network that takes samples as arrays, a batch at a time."""

    def __init__(
        self,
        network: Callable[[torch.Tensor], Any],
        name: str,
        batch: int | None = None,
        prepare: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> None:
        self.network, self.name, self.batch, self.prepare = network, name, batch, prepare

    def __call__(self, samples: Samples) -> Samples:
        size = self.batch or BATCH
        blocks = [samples[start : start + size] for start in range(0, len(samples), size)]
        return np.concatenate([self._batch(block, size) for block in blocks])

    @torch.inference_mode()
    def _batch(self, samples: Samples, size: int) -> Samples:
        # every batch has one size: a program may be made for it, and rounding may depend on it
        x = _as_images(np.concatenate([samples, np.repeat(samples[:1], size - len(samples), axis=0)]))
        try:
            answer = self.network(self.prepare(x) if self.prepare else x)
        except Exception as error:  # whatever a program says of samples it was not made for
            said = str(error).strip().splitlines()
            raise DataError(
                f"the encoder {self.name} fails on samples of shape {tuple(x.shape[1:])}: {said[-1] if said else error}"
            ) from None
        if isinstance(answer, (tuple, list)) and len(answer) == 1:
            answer = answer[0]
        if not isinstance(answer, torch.Tensor) or answer.ndim < 2 or len(answer) != size:
            raise DataError(f"the encoder {self.name} must give one tensor (samples, …), not {_said(answer)}")
        if answer.ndim > 2:  # a map of features, (batch, channels, …)
            answer = answer.flatten(2).mean(dim=2)
        return np.asarray(answer[: len(samples)].to(torch.float64))


def _as_images(samples: Samples) -> torch.Tensor:
    x = torch.from_numpy(np.ascontiguousarray(samples))
    x = x.to(torch.float32) / 255 if samples.dtype == np.uint8 else x.to(torch.float32)
    if x.ndim == 3:
        return x[:, None]
    return x.movedim(-1, 1).contiguous() if x.ndim == 4 and x.shape[-1] in (1, 3) else x


def _said(answer: Any) -> str:
    return f"{tuple(answer.shape)}" if isinstance(answer, torch.Tensor) else type(answer).__name__


def _entries(content: bytes, path: Path) -> dict[str, bytes | None]:
    """Names in an archive below its one folder, and the content of those that are text."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        infos = archive.infolist()
        names = [info.filename for info in infos]
        if len(infos) > MOST_ENTRIES or sum(info.file_size for info in infos) > LARGEST_BYTES:
            raise DataError(f"{path} unpacks to more than {LARGEST_BYTES // 2**30} GiB or {MOST_ENTRIES:,} files")
        folders = {name.partition("/")[0] for name in names}
        if len(set(names)) != len(names) or len(folders) != 1 or any(".." in name or "\\" in name for name in names):
            raise DataError(f"{path} is not the archive of one model")
        return {
            info.filename.partition("/")[2]: archive.read(info) if info.filename.endswith(".json") else None
            for info in infos
        }


def _exported(content: bytes, path: Path) -> tuple[Callable[[torch.Tensor], Any], int | None]:
    entries = _entries(content, path)
    for name, text in entries.items():
        if name.startswith("data/aotinductor") or re.match(r"data/(weights|constants)/.*\.pt$", name):
            raise DataError(f"{path} holds {name}: compiled or pickled content is not run; export it anew")
        if text is not None:
            _check_document(json.loads(text), path)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for info in archive.infolist():
            if "/data/sample_inputs/" in info.filename:
                # torch reads it in the same way, and falls back to pickle only where this fails
                torch.load(io.BytesIO(archive.read(info)), weights_only=True)
    program = torch.export.load(io.BytesIO(content))
    for node in program.graph.nodes:
        target = _written(node.target)
        if node.op == "call_function" and not _OPERATORS.match(target):
            raise DataError(f"{path} calls {target[:60]}; only operators of torch are run")
    inputs = [node for node in program.graph.nodes if node.name in program.graph_signature.user_inputs]
    if len(inputs) != 1:
        raise DataError(f"{path} takes {len(inputs)} inputs; an encoder takes one, a batch of samples")
    batch = inputs[0].meta["val"].shape[0]
    return program.module(), batch if isinstance(batch, int) else None


def _written(target: Any) -> str:
    if isinstance(target, torch._ops.OpOverload):
        return f"torch.ops.{target.namespace}.{target._opname}"
    return f"{getattr(target, '__module__', '')}.{getattr(target, '__name__', target)}"


def _check_document(document: Any, path: Path) -> None:
    """Refuse what torch's reader of ``.pt2`` would unpickle or evaluate."""
    for name, value in _pairs(document):
        if name == "use_pickle" and value is not False:
            raise DataError(f"{path} holds pickled weights, which could run Python; export it anew")
        if name == "path_name" and re.match(r"(custom|opaque)_obj", str(value)):
            raise DataError(f"{path} holds the Python object {value}, which is not loaded")
        if name == "expr_str" and not _EXPRESSION.fullmatch(str(value)):
            raise DataError(f"{path} holds the expression {str(value)[:40]!r}, which is no arithmetic of sizes")


def _pairs(document: Any) -> Iterator[tuple[str, Any]]:
    waiting = [document]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield from part.items()
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part


def _scripted(content: bytes, path: Path) -> Callable[[torch.Tensor], Any]:
    entries = _entries(content, path)
    if "constants.pkl" not in entries or not any(name.startswith("code/") for name in entries):
        raise DataError(f"{path} holds no TorchScript; pickled modules and bare weights are not run")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # such files are there, and will be for long
        network = torch.jit.load(io.BytesIO(content), map_location="cpu").eval()  # type: ignore[no-untyped-call]
        graph = network.inlined_graph
    for node in _nodes(graph):
        if not _SCRIPTED.match(node.kind()):
            raise DataError(f"{path} calls {node.kind()[:60]}; only operators of torch are run")
    network_call: Callable[[torch.Tensor], Any] = network
    return network_call


def _nodes(block: Any) -> Iterator[Any]:
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from _nodes(inner)


def _of_timm(name: str) -> _Encoder:
    try:
        import timm  # type: ignore[import-not-found]  # an optional package
    except ImportError:
        raise UsageError(f"timm:{name} needs timm; install it, or export the network to a .pt2 file") from None
    model_name, _, weights = name.partition("@")
    overlay = {"file": weights} if weights else {}
    if weights and Path(weights).suffix != ".safetensors":
        raise DataError(f"{weights} is not .safetensors; pickled weights are not read")
    try:
        network = timm.create_model(model_name, pretrained=True, num_classes=0, pretrained_cfg_overlay=overlay).eval()
    except Exception as error:
        raise DataError(f"timm:{name} cannot be loaded: {_first_line(error)}") from None
    settings = network.pretrained_cfg
    return _Encoder(
        network, f"timm:{name}", prepare=_Prepare(settings["input_size"], settings["mean"], settings["std"])
    )


def _of_transformers(name: str) -> _Encoder:
    try:
        import transformers  # type: ignore[import-not-found]  # an optional package
    except ImportError:
        raise UsageError(
            f"transformers:{name} needs transformers; install it, or export the network to a .pt2 file"
        ) from None
    only = {"local_files_only": True, "trust_remote_code": False}
    try:
        network = transformers.AutoModel.from_pretrained(name, use_safetensors=True, **only).eval()
        settings = transformers.AutoImageProcessor.from_pretrained(name, use_fast=True, **only)
        size = settings.size
        height = size.get("height", size.get("shortest_edge"))
        prepare = _Prepare((3, height, size.get("width", height)), settings.image_mean, settings.image_std)
    except Exception as error:
        raise DataError(f"transformers:{name} cannot be loaded: {_first_line(error)}") from None

    def pooled(x: torch.Tensor) -> Any:
        answer = network(x)
        found = getattr(answer, "pooler_output", None)
        return answer.last_hidden_state[:, 0] if found is None else found.flatten(1)

    return _Encoder(pooled, f"transformers:{name}", prepare=prepare)


class _Prepare:
    """Images to the size, channels and units that a network was trained with."""

    def __init__(self, shape: Any, mean: Any, spread: Any) -> None:
        self.side = (int(shape[1]), int(shape[2]))
        self.mean, self.spread = (torch.tensor([float(v) for v in unit]).view(1, -1, 1, 1) for unit in (mean, spread))

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if x.ndim != 4:
            raise ValueError("this network takes images")
        x = x.expand(-1, self.mean.shape[1], -1, -1) if x.shape[1] == 1 else x
        if x.shape[2:] != self.side:
            x = torch.nn.functional.interpolate(x, self.side, mode="bicubic", antialias=True, align_corners=False)
        return (x - self.mean) / self.spread


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
