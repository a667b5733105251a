"""Plan, train, audit and report of any family, by name: what the command line, the demo and a notebook call."""

import shlex
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, cast

from theodolite.kernel.environment import describe
from theodolite.kernel.errors import DataError, ResourceError, UsageError
from theodolite.kernel.launch import end_with_launcher, is_first_process, launch_name
from theodolite.kernel.records import Audit, Plan
from theodolite.kernel.runs import RunFolder
from theodolite.kernel.settings import Settings, TrainSettings

_SECONDS_TO_WAIT = 60


@dataclass(frozen=True)
class Family:
    """Where a family lives and what its settings are called."""

    name: str
    summary: str
    config_class: str
    training_class: str | None

    def part(self, module: str) -> Any:
        """Import one of the family's files, only when it is needed: config and plan must not load torch."""
        return import_module(f"theodolite.{self.name.replace('-', '_')}.{module}")

    @property
    def config(self) -> type[Settings]:
        """Settings of the model and its data."""
        return cast(type[Settings], getattr(self.part("config"), self.config_class))

    @property
    def training(self) -> type[TrainSettings] | None:
        """Settings of training, with the family's defaults; None where nothing is trained."""
        if self.training_class is None:
            return None
        return cast(type[TrainSettings], getattr(self.part("config"), self.training_class))


FAMILIES = {
    family.name: family
    for family in (
        Family("coverage", "What of the data can a generator not make?", "CoverageConfig", None),
        Family("gan", "Train a GAN and find what it misses.", "GANConfig", "GANTraining"),
        Family("linear-vae", "The linear VAE: solved exactly, and trained.", "LinearVAEConfig", "LinearVAETraining"),
        Family("video-unet", "A planned U-Net auto-encoder for videos.", "VideoUNetConfig", "VideoUNetTraining"),
        Family("nested-vit", "A vision transformer for huge images.", "NestedViTConfig", "NestedViTTraining"),
    )
}


def find(name: str) -> Family:
    """Look a family up by its name on the command line."""
    if name not in FAMILIES:
        raise UsageError(f"no family is called {name!r}; there are {', '.join(FAMILIES)}")
    return FAMILIES[name]


def split(family: Family, fields: dict[str, Any]) -> tuple[Settings, TrainSettings | None]:
    """Sort flat fields into the settings of the model and those of training.

    Raises
    ------
    UsageError
        If a field is unknown, or out of range.
    """
    training = family.training
    for_training = {name: value for name, value in fields.items() if training and name in training.model_fields}
    for_config = {name: value for name, value in fields.items() if name not in for_training}
    known = [*family.config.model_fields, *(training.model_fields if training else {})]
    if unknown := sorted(set(for_config) - set(known)):
        raise UsageError(f"{family.name} has no setting {unknown[0]!r}; it has {', '.join(known)}")
    return family.config.build(**for_config), training.build(**for_training) if training else None


def plan(name: str, **fields: Any) -> Plan:
    """Return what theory predicts for a family with these settings, before anything is trained.

    Parameters
    ----------
    name : str
        ``"coverage"``, ``"gan"``, ``"linear-vae"``, ``"video-unet"`` or ``"nested-vit"``.
    **fields
        Any setting of the family; the rest keep their defaults.
    """
    family = find(name)
    config, _ = split(family, fields)
    return _plan(family, config)


def _plan(family: Family, config: Settings) -> Plan:
    return cast(Plan, family.part("plan").plan(config))


def train(name: str, out: str | Path, *, force: bool = False, **fields: Any) -> RunFolder:
    """Plan, then train into a new run folder.

    Parameters
    ----------
    name : str
        The family; ``"coverage"`` trains nothing and only prepares the folder.
    out : path
        The run folder; it must not exist, unless `force`.
    force : bool
        Replace an existing run folder.
    **fields
        Any setting of the family or of training.

    Returns
    -------
    RunFolder
    """
    end_with_launcher()
    family = find(name)
    config, training = split(family, fields)
    if is_first_process():
        planned = _plan(family, config)
        settled = family.config.build(**planned.config)  # a plan settles what the data decide
        run = RunFolder.create(Path(out), name, settled, training, planned, force=force)
        started = {"command": command(), "started": time.strftime("%Y-%m-%d %H:%M:%S"), "launch": launch_name()}
        run.write_json("environment.json", describe() | started)
    else:
        run = _await_folder(Path(out))
    if training is not None:
        with _discarded_unless_begun(run):
            family.part("train").train(run.settings(family.config), training, run)
    return run


def audit_samples(out: str | Path, *, force: bool = False, **fields: Any) -> Audit:
    """Audit samples of any generator into a new run folder: ``theodolite coverage audit``.

    Parameters
    ----------
    out, force, **fields
        As for `train`; the settings are those of ``coverage``.
    """
    run = train("coverage", out, force=force, **fields)
    with _discarded_unless_begun(run):
        return audit(run)


@contextmanager
def _discarded_unless_begun(run: RunFolder) -> Iterator[None]:
    """Take a new folder away again where the data turn out unusable: the next try must not find it in its way."""
    try:
        yield
    except (DataError, UsageError):
        if is_first_process() and not run.checkpoint.exists():
            shutil.rmtree(run.path, ignore_errors=True)
        raise


def _await_folder(path: Path) -> RunFolder:
    """Wait until the first process of this launch has made the run folder."""
    run = RunFolder(path)
    for _ in range(_SECONDS_TO_WAIT * 10):
        if run.read_json("environment.json").get("launch") == launch_name():
            return run
        time.sleep(0.1)
    raise ResourceError(
        f"the first process has made no run folder at {path} within {_SECONDS_TO_WAIT} s; see its message"
    )


def resume(out: str | Path, *, steps: int | None = None) -> RunFolder:
    """Continue a run from its last checkpoint, to the steps it was started with or to more.

    Raises
    ------
    UsageError
        If the family trains nothing, or fewer steps are asked for than were stored.
    """
    end_with_launcher()
    run = RunFolder.open(Path(out))
    family = find(run.family)
    if family.training is None:
        raise UsageError(f"{run.path} is a run of {family.name}, which trains nothing; nothing is to be resumed")
    config, training = run.settings(family.config), run.settings(family.training)
    if steps is not None and steps < training.steps:
        raise UsageError(f"steps={steps} is fewer than the {training.steps} the run was started with; it can only grow")
    if steps is not None:
        training = family.training.build(**training.model_dump() | {"steps": steps})
    if steps is not None and is_first_process():
        run.store_settings(family.name, config, training)
    family.part("train").train(config, training, run)
    return run


def audit(out: str | Path | RunFolder) -> Audit:
    """Measure a trained run against its plan, from its folder alone, and keep the result there as ``audit.json``."""
    run = out if isinstance(out, RunFolder) else RunFolder.open(Path(out))
    began = time.monotonic()
    found = cast(Audit, find(run.family).part("audit").audit(run))
    run.write_record("audit.json", found)
    run.write_json("environment.json", run.read_json("environment.json") | {"audit_seconds": time.monotonic() - began})
    return found


def write_report(out: str | Path | RunFolder | Sequence[RunFolder], path: str | Path | None = None) -> Path:
    """Write the report of one run, or of several on one page, as a single offline HTML file.

    Returns
    -------
    Path
        ``report.html`` in the (first) run's folder unless `path` says otherwise.
    """
    if isinstance(out, (str, Path)):
        out = RunFolder.open(Path(out))
    runs = [out] if isinstance(out, RunFolder) else list(out)
    # the chart library takes half a second to load: only a report pays for it
    from theodolite.report.page import write_page

    return write_page(runs, Path(path) if path else runs[0].path / "report.html")


def version() -> str:
    """Return the version of theodolite."""
    return metadata.version("theodolite")


def command() -> str:
    """Return the command line of this process, as one would type it again."""
    name = Path(sys.argv[0]).name
    return shlex.join(["theodolite" if name in ("theodolite", "__main__.py") else name, *sys.argv[1:]])
