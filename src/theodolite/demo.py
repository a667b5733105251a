"""All four families on embedded data: plan, train, audit, and one report."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from theodolite import families


@dataclass(frozen=True)
class Stage:
    """One run of the demo: its folder, its family and the settings that keep it short."""

    folder: str
    family: str
    fields: dict[str, Any] = field(default_factory=dict)


LINE = {"data": "line", "objective": "minimax", "learning_rate": 0.002, "steps": 600}
DIGITS = {
    "data": "digits", "withhold": 7, "latent_dim": 32, "batch_size": 128, "learning_rate": 0.002, "pace": 3.0,
    "steps": 2500,
}  # fmt: skip
STAGES = (
    Stage("linear-vae", "linear-vae"),
    Stage("gan-line", "gan", LINE),
    Stage("gan-digits", "gan", DIGITS),
    Stage("video-unet", "video-unet", {"base": 16, "steps": 260}),
    Stage("nested-vit", "nested-vit"),
)


def demo(out: Path, *, force: bool = False) -> tuple[Path, bool]:
    """Plan, train and audit every stage below `out`, and write one report of all.

    Parameters
    ----------
    out : Path
        Folder of the run folders, one a stage.
    force : bool
        Replace run folders of an earlier demo.

    Returns
    -------
    report : Path
    failed : bool
        Whether any audit contradicts its plan.
    """
    runs, failed = [], False
    for number, stage in enumerate(STAGES, start=1):
        print(f"[{number}/{len(STAGES)}] {stage.family}: plan, train, audit → {out / stage.folder}", file=sys.stderr)
        run = families.train(stage.family, out / stage.folder, force=force, **stage.fields)
        audit = families.audit(run)
        print("\n".join(f"      {sentence}" for sentence in audit.sentences), file=sys.stderr)
        failed |= audit.failed
        runs.append(run)
    return families.write_report(runs, out / "report.html"), failed
