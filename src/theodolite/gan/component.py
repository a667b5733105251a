"""A further generator for a mixture: the stable game on real samples that are drawn again by weight."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from theodolite.coverage.members import Floats
from theodolite.engine.loop import fit
from theodolite.engine.sampling import uniform
from theodolite.gan.config import GANConfig, GANTraining
from theodolite.gan.dataset import Dataset, record
from theodolite.gan.plan import plan
from theodolite.gan.samples import TrainedGAN
from theodolite.gan.train import Game
from theodolite.kernel.errors import InterruptedRun
from theodolite.kernel.runs import RunFolder

OF_THE_GAME = ("objective", "pace", "penalty", "average", "withhold")  # settings that suit one game only


@dataclass(frozen=True)
class Target:
    """The run that is mended, all of its real samples in its units, and the steps of training, 0 for as many."""

    run: RunFolder
    config: GANConfig
    training: GANTraining
    data: Dataset
    steps: int


def settings_of(target: Target, number: int) -> tuple[GANConfig, GANTraining]:
    """Return the settings of the further generator: those of the run, but the stable game and a seed of its own.

    Where the run played minimax, its step size and pace are not taken over either: they were that game's.
    """
    stable = target.config.objective == "relativistic"
    kept = target.config.model_dump(exclude={"withhold"} if stable else set(OF_THE_GAME))
    training = target.training.model_dump(exclude=set() if stable else {"learning_rate", "steps"})
    training |= {"seed": (target.training.seed + number) % 2**63}
    steps = target.steps or max(target.training.steps, 0 if stable else GANTraining().steps)
    return GANConfig.build(**kept), GANTraining.build(**training | {"steps": steps})


def draw_again(weights: Floats, count: int, seed: int) -> NDArray[np.int64]:
    """Return rows drawn by weight, (count,), each as often as is due, rounded up or down.

    Systematic resampling (Carpenter et al. 1999): one uniform draw, then even steps through the cumulated weights.
    """
    begin = float(uniform(seed, 0, torch.zeros(1, dtype=torch.int64), "repair", (), torch.float64)[0])
    at = (begin + np.arange(count)) / count
    edges = np.cumsum(weights) / np.sum(weights)
    return np.minimum(np.searchsorted(edges, at, side="right"), len(weights) - 1)


def train_component(target: Target, number: int, weights: Floats) -> tuple[RunFolder, TrainedGAN]:
    """Train the further generator of a round, or on from where a stopped repair left it.

    Raises
    ------
    DivergedError
        If a loss stops being finite.
    InterruptedRun
        If a signal came; the state was saved.
    """
    config, training = settings_of(target, number)
    rows = draw_again(weights, len(target.data.train), training.seed)
    data = replace(target.data, train=target.data.train[rows])
    run = _folder(target.run.path / "repair" / f"round-{number}", config, training, rows, data)
    try:
        fit(Game(config, training, data), training, run)
    except InterruptedRun as stopped:
        said = str(stopped).removesuffix("; continue with --resume")
        number_of = stopped.exit_code - 128
        raise InterruptedRun(
            f"{said} of the further generator; repeat theodolite gan repair to continue", number_of
        ) from None
    return run, TrainedGAN(run, repaired=False)


def _folder(path: Path, config: GANConfig, training: GANTraining, rows: NDArray[np.int64], data: Dataset) -> RunFolder:
    """Open the folder of a stopped repair if it was to train just this, else begin it anew."""
    begun, sha256 = RunFolder(path), hashlib.sha256(rows.tobytes()).hexdigest()
    if (
        (path / "plan.json").is_file()
        and (begun.settings(GANConfig), begun.settings(GANTraining)) == (config, training)
        and begun.read_json("rows.json").get("sha256") == sha256
    ):
        return begun
    run = RunFolder.create(path, "gan", config, training, plan(config), force=True)
    record(run, config, data)
    run.write_json("rows.json", {"sha256": sha256})
    return run
