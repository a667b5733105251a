"""The run folder: everything after training works from it, in a fresh process.

It holds ``config.toml``, ``plan.json``, ``environment.json``, ``metrics.jsonl``, ``last.ckpt``, ``model.safetensors``,
``audit.json``, ``exhibits/``, ``report.html`` and ``LOCK``.
"""

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import tomli_w
from pydantic import ValidationError

from theodolite.kernel.errors import DataError, ResourceError, UsageError
from theodolite.kernel.files import append_line, is_draft, remove_drafts, why_not_written, write_array, write_atomically
from theodolite.kernel.records import Audit, Plan, Record
from theodolite.kernel.settings import Settings, TrainSettings, read_toml

if TYPE_CHECKING:
    from numpy.typing import NDArray

S = TypeVar("S", bound=Settings)
R = TypeVar("R", bound=Record)


def _holds_anything(folder: Path) -> bool:
    """Whether a folder holds more than what a run leaves that was killed before it wrote its settings."""
    return any(
        any(part.iterdir()) if part.name == "exhibits" and part.is_dir() else not is_draft(part)
        for part in folder.iterdir()
    )


@dataclass(frozen=True)
class RunFolder:
    """A folder of one run. Build it with `create` or `open`."""

    path: Path

    @classmethod
    def create(
        cls,
        path: Path,
        family: str,
        config: Settings,
        training: TrainSettings | None,
        plan: Plan,
        *,
        force: bool = False,
    ) -> "RunFolder":
        """Start a run: write its settings and its plan before anything is trained.

        Raises
        ------
        UsageError
            If the folder exists and is not empty, unless `force` and it is a run folder (which is then replaced).
        """
        if path.exists() and (not path.is_dir() or _holds_anything(path)):
            if not force:
                onward = "continue it with --resume, " if training else ""
                raise UsageError(f"{path} exists; choose another --out, {onward}or replace it with --force")
            if not (path / "config.toml").is_file():
                raise UsageError(f"{path} is not a run folder, so --force will not delete it; choose another --out")
            try:
                shutil.rmtree(path)
            except OSError as error:  # a link is none to delete through, for one
                raise ResourceError(f"cannot replace {path}: {error.strerror or error}") from None
        try:
            (path / "exhibits").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ResourceError(why_not_written(path, 0, error)) from None
        run = cls(path)
        try:
            run.store_settings(family, config, training)
            run.write_record("plan.json", plan)
        except ResourceError:  # half a run folder would stand in the way of the next try
            shutil.rmtree(path, ignore_errors=True)
            raise
        return run

    def store_settings(self, family: str, config: Settings, training: TrainSettings | None) -> None:
        """Write config.toml: the family, its settings and those of training, flat; unset ones are left out."""
        fields = {**config.model_dump(mode="json"), **(training.model_dump(mode="json") if training else {})}
        stored = {"family": family, **{name: value for name, value in fields.items() if value is not None}}
        write_atomically(self.path / "config.toml", tomli_w.dumps(stored).encode())

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Open an existing run folder, or say in one line why it is none."""
        if not path.is_dir():
            raise DataError(f"no run folder at {path}; train one with --out {path}")
        if not (path / "config.toml").is_file():
            raise DataError(f"{path} is not a run folder: it has no config.toml")
        return cls(path)

    @property
    def family(self) -> str:
        """Name of the family that was run."""
        return str(read_toml(self.path / "config.toml").get("family", ""))

    @property
    def exhibits(self) -> Path:
        """Folder of the arrays that exhibits name."""
        return self.path / "exhibits"

    @property
    def checkpoint(self) -> Path:
        """Network, optimisers and step: what a resumed run starts from."""
        return self.path / "last.ckpt"

    @property
    def weights(self) -> Path:
        """The trained weights alone, as safetensors."""
        return self.path / "model.safetensors"

    def settings(self, kind: type[S]) -> S:
        """Read back the stored settings of one class; other classes' fields are passed over."""
        stored = read_toml(self.path / "config.toml")
        return kind.build(**{name: value for name, value in stored.items() if name in kind.model_fields})

    def write_record(self, name: str, record: Record) -> None:
        """Write a record as JSON."""
        write_atomically(self.path / name, record.model_dump_json(indent=1).encode())

    def write_json(self, name: str, content: dict[str, Any]) -> None:
        """Write a plain document as JSON."""
        write_atomically(self.path / name, json.dumps(content, indent=1).encode())

    def read_json(self, name: str) -> dict[str, Any]:
        """Read a document; an absent one is empty."""
        path = self.path / name
        if not path.is_file():
            return {}
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, OSError, RecursionError) as error:
            raise DataError(f"{path} is damaged: {error}") from None
        if not isinstance(content, dict):
            raise DataError(f"{path} is damaged: it does not hold a JSON object")
        return content

    @property
    def plan(self) -> Plan:
        """The plan as it was sealed."""
        return self._read_record("plan.json", Plan, "the run was never begun; start it anew with --force")

    @property
    def audit(self) -> Audit:
        """The audit, once there is one."""
        return self._read_record("audit.json", Audit, f"run: theodolite {self.family} audit {self.path}")

    def _read_record(self, name: str, kind: type[R], remedy: str) -> R:
        path = self.path / name
        if not path.exists():
            raise DataError(f"{path} is missing; {remedy}")
        if not path.is_file():
            raise DataError(f"{path} is not a file; it is not read")
        try:
            return kind.model_validate_json(path.read_bytes())
        except (ValidationError, OSError) as error:
            raise DataError(f"{path} is damaged: {str(error).splitlines()[0]}") from None

    def save_array(self, name: str, array: "NDArray[Any]") -> str:
        """Store an array for an exhibit and return the name to give it (``missed`` becomes ``missed.npy``)."""
        write_array(self.exhibits / f"{name}.npy", array)
        return f"{name}.npy"

    def append_metrics(self, row: dict[str, float]) -> None:
        """Add a line to metrics.jsonl; half of one ends what `metrics` reads, and a resumed run writes it again."""
        append_line(self.path / "metrics.jsonl", json.dumps(row))

    def metrics(self) -> list[dict[str, float]]:
        """All lines of metrics.jsonl, up to one cut short by a crash."""
        path = self.path / "metrics.jsonl"
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
        rows: list[dict[str, float]] = []
        for line in lines:
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                break
            if not isinstance(row, dict) or not isinstance(row.get("step"), (int, float)):
                break
            rows.append(row)
        return rows

    def keep_metrics_before(self, step: int) -> None:
        """Drop the lines a resumed run will write again: those of `step` and later."""
        kept = [json.dumps(row) for row in self.metrics() if row["step"] < step]
        write_atomically(self.path / "metrics.jsonl", "".join(line + "\n" for line in kept).encode())

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for one writer; a second one is told so."""
        path = self.path / "LOCK"
        try:
            file = path.open("w", encoding="utf-8")
        except OSError as error:
            raise ResourceError(why_not_written(path, 0, error)) from None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ResourceError(
                    f"another process is writing to {self.path}; wait for it or choose another --out"
                ) from None
            for folder in (self.path, self.exhibits):
                remove_drafts(folder)
            yield
