"""How a run was done: data, seed, versions, machine, time and the command, as the run folder has them."""

from typing import Any

from theodolite.kernel.runs import RunFolder
from theodolite.kernel.settings import read_toml
from theodolite.report.numbers import duration, integer, memory, number

LONGEST = 400  # letters of one entry
Facts = list[tuple[str, str]]


def facts(run: RunFolder, environment: dict[str, Any]) -> Facts:
    """Return what a reader needs to repeat the run, as pairs of term and text; what was not recorded is left out."""
    settings = read_toml(run.path / "config.toml")
    found: list[tuple[str, Any]] = [
        ("Data", _data(run, settings)),
        ("Seed", settings.get("seed")),
        ("Started", environment.get("started")),
        ("Time", _with(environment.get("seconds"), duration)),
        ("Machine", _machine(environment)),
        ("Device", _joined(environment.get("device"), environment.get("precision"))),
        ("Versions", _versions(environment)),
        ("Run folder", run.path.name),
    ]
    return [(term, _text(content)) for term, content in found if content not in (None, "")]


def settings(run: RunFolder) -> Facts:
    """Return every setting of the run."""
    return [(name, _text(value)) for name, value in read_toml(run.path / "config.toml").items()]


def command(environment: dict[str, Any]) -> str:
    """Return the command that repeats the run, or nothing."""
    given = environment.get("command", "")
    return _text(" ".join(str(part) for part in given) if isinstance(given, list) else given)


def _data(run: RunFolder, settings: dict[str, Any]) -> str:
    read = run.read_json("data.json")
    path, digest = read.get("path"), read.get("sha256")
    if not path:
        return str(settings.get("data") or settings.get("dataset") or "")
    return f"{path} (SHA-256 {str(digest)[:16]}…)" if digest else str(path)


def _machine(environment: dict[str, Any]) -> str:
    processors = _with(environment.get("processors"), lambda count: f"{integer(int(count))} processors")
    size = _with(environment.get("memory_bytes"), lambda size: f"{memory(size)} of memory")
    return _joined(environment.get("system"), processors, size)


def _versions(environment: dict[str, Any]) -> str:
    versions = environment.get("versions")
    packages = [f"{name} {version}" for name, version in versions.items()] if isinstance(versions, dict) else []
    python = environment.get("python")
    return ", ".join([f"Python {python}", *packages] if python else packages)


def _joined(*parts: Any) -> str:
    return ", ".join(_text(part) for part in parts if part not in (None, ""))


def _with(value: Any, write: Any) -> str:
    """Write a value if it is a sensible number; a run folder may hold anything."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e18:
        return ""
    return str(write(value))


def _text(content: Any) -> str:
    if isinstance(content, bool):
        return "yes" if content else "no"
    if isinstance(content, float):
        return number(content)
    text = str(content)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
