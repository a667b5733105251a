"""One step of a repair that no held-out sample takes part in: a further generator is trained, mixed in, and judged."""

from dataclasses import dataclass

import numpy as np
import torch

from theodolite.coverage.members import Floats
from theodolite.coverage.stages import Tell
from theodolite.engine.export import save_weights
from theodolite.gan.blend import Blend
from theodolite.gan.component import Target, train_component
from theodolite.gan.config import GANConfig, GANTraining
from theodolite.gan.dataset import Dataset
from theodolite.gan.judge import fit_judge
from theodolite.gan.repaired import Component, RepairSettings, sha256_of
from theodolite.gan.samples import TrainedGAN
from theodolite.gan.shortfall import Shortfall, in_blocks
from theodolite.kernel.runs import RunFolder
from theodolite.theory.boosting import boosting_weights, share_due

TRIED = 4000  # generated samples that the share of the further generator is set by
LEAST_SHARE, MOST_SHARE = 0.01, 0.95
LOST_TO_REJECTION = 0.1  # of what is made in the missed set, at most


@dataclass(frozen=True)
class State:
    """What the run draws from at the start of a round.

    Attributes
    ----------
    gan : TrainedGAN
        Draws.
    components : tuple of (TrainedGAN, Component)
        Of the mixture, without rejection.
    judge : str
        Folder of what rejects.
    """

    gan: TrainedGAN
    components: tuple[tuple[TrainedGAN, Component], ...]
    judge: str = ""


@dataclass(frozen=True)
class Material:
    """What all rounds share: settings, all real samples, and held-out ones in one part a round."""

    run: RunFolder
    settings: RepairSettings
    config: GANConfig
    training: GANTraining
    data: Dataset
    parts: tuple[Floats, ...]
    tell: Tell

    @property
    def each(self) -> float:
        """Confidence of each of the two bounds of each round."""
        return 1 - (1 - self.settings.confidence) / (2 * self.settings.rounds)


def mended(
    given: Material, state: State, number: int, lacking: Shortfall, fitted: Floats
) -> tuple[State, dict[str, float]]:
    """Train a further generator on what is missing, and mix it in; held-out samples take no part."""
    share = float(np.clip(share_due(lacking.real, lacking.generated, 1.0), LEAST_SHARE, MOST_SHARE))
    scores = lacking.of_train if len(fitted) == len(given.data.train) else in_blocks(lacking.score, given.data.train)
    weights = boosting_weights(lacking.ratio(scores), share)
    given.tell(f"round {number}: training a further generator")
    target = Target(given.run, given.config, given.training, given.data, given.settings.steps)
    folder, further = train_component(target, number, weights)
    aimed = float(lacking.inside(further.draw(TRIED, "repair-aimed")).mean())
    # no more than twice what is lacking, however little of it hits
    mixed = min(share_due(lacking.real, lacking.generated, aimed), 2 * share, MOST_SHARE)
    own = Component(folder=str(folder.path.relative_to(given.run.path)), share=mixed, sha256=sha256_of(folder.weights))
    components = (
        *((gan, part.model_copy(update={"share": (1 - mixed) * part.share})) for gan, part in state.components),
        (further, own),
    )
    plain = Blend(
        [gan.generator for gan, _ in components],
        [gan.latent_dim for gan, _ in components],
        [part.share for _, part in components],
    )
    given.tell(f"round {number}: fitting what rejects")
    gan, judge, kept = _with_rejection(given, state.components[0][0], plain, folder, lacking)
    return State(gan, components, judge), {"share": mixed, "aimed": aimed, "kept": kept}


def _with_rejection(
    given: Material, own: TrainedGAN, plain: Blend, folder: RunFolder, lacking: Shortfall
) -> tuple[TrainedGAN, str, float]:
    """Reject where unseen train reals show that it helps and the missed set does not lose by it."""
    gan = own.blended(plain)
    found = fit_judge(folder.settings(GANConfig), given.training, given.data.units, given.data.train, plain, own.device)
    if found is None:
        return gan, "", 1.0
    blend = Blend(plain.generators, plain.latent_dims, plain.shares, found.to(own.device))
    rejecting = own.blended(blend)
    due = (1 - LOST_TO_REJECTION) * min(lacking.real, _made(gan, lacking))
    if _made(rejecting, lacking) < due:
        return gan, "", 1.0
    judge = RunFolder(folder.path / "judge")
    judge.path.mkdir(exist_ok=True)
    judge.write_record("plan.json", folder.plan)
    save_weights(judge, {"judge": found})
    with torch.no_grad():
        standard = given.data.units.standardise(gan.draw(TRIED, "repair-kept"))
        kept = float(found(torch.from_numpy(standard).float().to(own.device)).mean())
    return rejecting, str(judge.path.relative_to(given.run.path)), kept


def _made(gan: TrainedGAN, lacking: Shortfall) -> float:
    return float(lacking.inside(gan.draw(TRIED, "repair-made")).mean())
