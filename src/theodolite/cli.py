"""The command line: ``theodolite FAMILY VERB``. Parses, calls, prints; nothing else."""

import os
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter, UnusedCliTokensError
from pydantic import ValidationError

from theodolite import families
from theodolite.families import FAMILIES, Family
from theodolite.kernel.allocation import keep_freed_memory
from theodolite.kernel.errors import AUDIT_FAILED, InterruptedRun, ResourceError, TheodoliteError, UsageError
from theodolite.kernel.launch import is_first_process
from theodolite.kernel.records import Audit, Plan
from theodolite.kernel.settings import Settings, explain, read_toml
from theodolite.verbs import OWN_VERBS, Force, Json, Run, open_run, print_json, printable, say, warn

LONGEST_NAME = 100  # letters of a file's name in a complaint
_SMALLER = "out of memory; use a smaller batch, a smaller network or smaller data"
_OUT_OF_MEMORY = ("can't allocate memory", "out of memory")  # how torch says it, on a processor and on a GPU

ConfigFile = Annotated[Path | None, Parameter(name="--config", help="TOML file of settings; the line overrides it")]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code: see `theodolite.kernel.errors`."""
    # threads that spin while they wait make small networks ten times slower where another program wants a core
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    keep_freed_memory()
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    with _ended_by_sigterm():
        code = _run([word for word in words if word != "--debug"], debug)
    sys.exit(code)


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """End in one line where nothing collects signals in order to save a state first."""

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)  # a second one would cut the first one's line
        # no handler of errors takes this exception for its own
        raise SystemExit(_complain(InterruptedRun(f"stopped by {signal.Signals(number).name}", number)))

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _run(words: list[str], debug: bool) -> int:
    try:
        code = _build(words[:1])(words, exit_on_error=False, print_error=False)
        return code if isinstance(code, int) else 0
    except CycloptsError as error:
        cause = error.__cause__
        complaint = explain(cause, Settings) if isinstance(cause, ValidationError) else " ".join(str(error).split())
        if isinstance(error, UnusedCliTokensError):
            complaint = f"nothing takes the argument {' '.join(map(repr, error.unused_tokens or ()))}"
        return _complain(UsageError(f"{complaint} ({' '.join(['theodolite', *_command_words(words), '--help'])})"))
    except TheodoliteError as error:
        if debug:
            traceback.print_exc()
        return _complain(error)
    except KeyboardInterrupt:
        return _complain(InterruptedRun("interrupted", signal.SIGINT))
    except BrokenPipeError:
        return 0
    except MemoryError:
        return _complain(ResourceError(_SMALLER))
    except OSError as error:  # of a path that no door looked at more closely
        if debug:
            traceback.print_exc()
        where = f"{str(error.filename)[:LONGEST_NAME]}: " if error.filename else ""
        return _complain(ResourceError(f"{where}{error.strerror or error}"))
    except Exception as error:
        if debug:
            traceback.print_exc()
        if isinstance(error, RuntimeError) and any(phrase in str(error) for phrase in _OUT_OF_MEMORY):
            return _complain(ResourceError(_SMALLER))
        problem = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        return _complain(TheodoliteError(f"a defect of theodolite, {problem} (--debug shows where)"))


def _complain(error: TheodoliteError) -> int:
    # a file may be called anything
    print(f"theodolite: {printable(str(error))}", file=sys.stderr)
    return error.exit_code


def _command_words(words: list[str]) -> list[str]:
    """The family and verb that were meant, as far as they exist."""
    if not words or words[0] not in FAMILIES:
        return words[:1] if words and words[0] in ("demo", "doctor", "completion", "version") else []
    return words[:2] if len(words) > 1 and words[1] in _verbs(FAMILIES[words[0]]) else words[:1]


def _build(wanted: Container[str]) -> App:
    """The commands, with the verbs of the families that are wanted: their settings are imported for that alone."""
    app = App(
        name="theodolite",
        help="Theory beside practice for deep models.",
        version_flags=["--version"],
        suppress_keyboard_interrupt=False,
    )
    app.version = families.version
    for family in FAMILIES.values():
        sub = App(name=family.name, help=family.summary)
        app.command(sub)
        if family.name in wanted:
            for name, command in _verbs(family).items():
                sub.command(command, name=name)
    app.command(_demo, name="demo")
    app.command(_doctor, name="doctor")
    app.command(_completion, name="completion")
    app.command(_version, name="version")
    return app


def _verbs(family: Family) -> dict[str, Callable[..., Any]]:
    """The commands of a family: the four that all have, and its own."""
    if family.training is None:
        own: dict[str, Callable[..., Any]] = {"audit": _audit_samples(family)}
    else:
        own = {"train": _train(family), "audit": _audit(family)}
    return {"plan": _plan(family), **own, "report": _report(family), **OWN_VERBS.get(family.name, {})}


def _fields(file: Path | None, *given: Settings | None) -> dict[str, Any]:
    """Merge a file of settings with what was given on the line, which wins."""
    stored = read_toml(file) if file else {}
    stored.pop("family", None)
    for settings in given:
        stored |= settings.model_dump(exclude_unset=True) if settings else {}
    return stored


def _flags(settings: type[Settings] | None) -> Any:
    """Annotation that spreads a settings class into one flag a field."""
    return Annotated[settings | None, Parameter(name="*")] if settings else Annotated[None, Parameter(parse=False)]


def _plan(family: Family) -> Callable[..., None]:
    def plan(*, settings: Any = None, config: ConfigFile = None, json: Json = False) -> None:
        """Say what theory predicts, before anything is trained."""
        _show(families.plan(family.name, **_fields(config, settings)), json)

    plan.__annotations__["settings"] = _flags(family.config)
    return plan


def _train(family: Family) -> Callable[..., None]:
    def train(
        *,
        settings: Any = None,
        training: Any = None,
        out: Annotated[Path | None, Parameter(help="run folder [default: runs/FAMILY]")] = None,
        resume: Annotated[bool, Parameter(negative="", help="continue the run in --out; --steps extends it")] = False,
        force: Force = False,
        config: ConfigFile = None,
        json: Json = False,
    ) -> None:
        """Plan, then train into a run folder."""
        path = out or Path("runs") / family.name
        fields = _fields(config, settings, training)
        if resume:
            if force:
                raise UsageError("--resume continues a run and --force replaces it; give one of them")
            open_run(path, family)
            if others := sorted(set(fields) - {"steps"}):
                raise UsageError(f"--resume reads the stored settings: leave out {', '.join(others)}; --steps may grow")
            run = families.resume(path, **fields)
        else:
            run = families.train(family.name, path, force=force, **fields)
        if is_first_process():
            warn(run.read_json("data.json").get("warnings", []))
            after = f"audit {shlex.quote(str(run.path))}"
            say(json, {"run": str(run.path), **(run.metrics() or [{}])[-1]}, f"trained: {run.path}", after, family)

    train.__annotations__["settings"] = _flags(family.config)
    train.__annotations__["training"] = _flags(family.training)
    return train


def _audit(family: Family) -> Callable[..., int]:
    def audit(run: Run, *, json: Json = False) -> int:
        """Measure a trained run against its plan; exit code 1 if a prediction failed."""
        found = families.audit(open_run(run, family))
        _show(found, json)
        return AUDIT_FAILED if found.failed else 0

    return audit


def _audit_samples(family: Family) -> Callable[..., int]:
    def audit(
        *,
        settings: Any = None,
        out: Annotated[Path, Parameter(help="run folder")] = Path("runs/coverage"),
        force: Force = False,
        config: ConfigFile = None,
        json: Json = False,
    ) -> int:
        """Measure what of the real data a generator does not make; exit code 1 if a prediction failed."""
        found = families.audit_samples(out, force=force, **_fields(config, settings))
        _show(found, json)
        return AUDIT_FAILED if found.failed else 0

    audit.__annotations__["settings"] = _flags(family.config)
    return audit


def _report(family: Family) -> Callable[..., None]:
    def report(
        run: Run,
        *,
        out: Annotated[Path | None, Parameter(help="where to write [default: RUN/report.html]")] = None,
        json: Json = False,
    ) -> None:
        """Write the run's report, one HTML file."""
        path = families.write_report(open_run(run, family), out)
        say(json, {"report": str(path)}, f"report: {path}")

    return report


def _demo(*, out: Path = Path("runs/demo"), force: Force = False, json: Json = False) -> int:
    """Plan, train and audit all four families on embedded data, ending in one report."""
    from theodolite.demo import demo  # loads torch

    path, failed = demo(out, force=force)
    say(json, {"report": str(path), "failed": failed}, f"report: {path}")
    return AUDIT_FAILED if failed else 0


def _doctor(*, json: Json = False) -> None:
    """Show versions, device, memory and measured rates by precision."""
    from theodolite.engine.doctor import examine  # loads torch

    found = examine()
    if json:
        print_json(found)
    else:
        from theodolite.report.terminal import print_examination  # loads rich

        print_examination(found)


def _completion(shell: Literal["bash", "zsh", "fish"], /) -> None:
    """Print what lets a shell complete commands and settings; for bash: source <(theodolite completion bash)."""
    print(_build(FAMILIES).generate_completion(shell=shell))


def _version(*, json: Json = False) -> None:
    """Print the version."""
    say(json, {"version": families.version()}, families.version())


def _show(record: Plan | Audit, as_json: bool) -> None:
    if as_json:
        print(record.model_dump_json(indent=1))
        return
    from theodolite.report.terminal import print_record  # loads rich

    print_record(record)
