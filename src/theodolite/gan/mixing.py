"""One step of a repair that no held-out sample takes part in: a further generator is trained, mixed in, and judged."""

from dataclasses import dataclass

import numpy as np
import torch

from theodolite.coverage.discriminator import Score, fit_score
from theodolite.coverage.members import Floats
from theodolite.coverage.stages import Tell
from theodolite.engine.export import save_weights
from theodolite.gan.blend import Blend, Judge
from theodolite.gan.component import Target, train_component
from theodolite.gan.config import GANConfig, GANTraining
from theodolite.gan.dataset import Dataset
from theodolite.gan.judge import fit_judge
from theodolite.gan.repaired import Component, RepairSettings, sha256_of
from theodolite.gan.samples import TrainedGAN
from theodolite.gan.shortfall import Shortfall, in_blocks, ratio_of_score
from theodolite.kernel.runs import RunFolder
from theodolite.theory.boosting import boosting_weights, likeliest_share, likeliest_share_kept, share_due

TRIED = 4000  # generated samples by which it is seen what is made in the missed set
LEAST_SHARE, MOST_SHARE = 0.01, 0.95
LOST_TO_REJECTION = 0.1  # of what is made in the missed set, at most
Components = tuple[tuple[TrainedGAN, Component], ...]


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
    components: Components
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
    given: Material, state: State, number: int, lacking: Shortfall, fitted: Floats, detailed: Score
) -> tuple[State, dict[str, float]]:
    """Train a further generator on what is missing, and mix it in; held-out samples take no part.

    `detailed` is the audit's D̂ of what the run draws from so far, fitted on the train reals `fitted`.
    """
    share = float(np.clip(share_due(lacking.real, lacking.generated, 1.0), LEAST_SHARE, MOST_SHARE))
    scores = lacking.of_train if len(fitted) == len(given.data.train) else in_blocks(lacking.score, given.data.train)
    weights = boosting_weights(lacking.ratio(scores), share)
    given.tell(f"round {number}: training a further generator")
    target = Target(given.run, given.config, given.training, given.data, given.settings.steps)
    folder, further = train_component(target, number, weights)
    aimed = float(lacking.inside(further.draw(TRIED, "repair-aimed")).mean())
    before = detailed
    if state.judge:  # shares are of generators without rejection
        before = told_apart(given, _blended(state.components), fitted, f"repair-{number}-shared")[1]
    ratios = _ratio(before), _ratio(told_apart(given, further, fitted, f"repair-{number}-further")[1])
    given.tell(f"round {number}: fitting what rejects")
    # at least what is lacking, as if all of it would hit
    mixed = float(np.clip(likeliest_share_kept(*ratios), share, MOST_SHARE))
    after = _with_rejection(given, _joined(state, further, folder, mixed), folder, lacking)
    if after is None:
        mixed = float(np.clip(likeliest_share(*ratios), share, MOST_SHARE))
        components = _joined(state, further, folder, mixed)
        after = State(_blended(components), components), 1.0
    return after[0], {"share": mixed, "aimed": aimed, "kept": after[1]}


def told_apart(given: Material, gan: TrainedGAN, fitted: Floats, stream: str) -> tuple[Floats, Score]:
    """Fit the audit's D̂ on train reals and twice as many generated samples, which come with it."""
    fakes = gan.draw(2 * len(fitted), stream)
    return fakes, fit_score(fitted, fakes, seed=given.training.seed)


def _joined(state: State, further: TrainedGAN, folder: RunFolder, share: float) -> Components:
    """Give the further generator its share; that of each other one shrinks."""
    relative = str(folder.path.relative_to(folder.path.parent.parent))
    own = Component(folder=relative, share=share, sha256=sha256_of(folder.weights))
    others = ((gan, part.model_copy(update={"share": (1 - share) * part.share})) for gan, part in state.components)
    return (*others, (further, own))


def _blended(components: Components, judge: Judge | None = None) -> TrainedGAN:
    """Draw from the mixture, with rejection or without."""
    gans, parts = zip(*components, strict=True)
    blend = Blend(
        [gan.generator for gan in gans], [gan.latent_dim for gan in gans], [part.share for part in parts], judge
    )
    own: TrainedGAN = gans[0]
    return own.blended(blend)


def _ratio(score: Score) -> Floats:
    """Return p̂_θ/p̂_r at the train reals that D̂ was fitted on, (n,), each from members that did not see it."""
    return ratio_of_score(score.out_of_fold_real, score.out_of_fold_fake)(score.out_of_fold_real)


def _with_rejection(
    given: Material, components: Components, folder: RunFolder, lacking: Shortfall
) -> tuple[State, float] | None:
    """Reject where unseen train reals show that it helps and the missed set does not lose by it, else return None.

    With the state comes the share of the candidates that is kept.
    """
    plain = _blended(components)
    mixture = plain.generator
    if not isinstance(mixture, Blend):
        raise TypeError("a mixture draws from a Blend")
    found = fit_judge(
        folder.settings(GANConfig), given.training, given.data.units, given.data.train, mixture, plain.device
    )
    if found is None:
        return None
    gan = _blended(components, found.to(plain.device))
    due = (1 - LOST_TO_REJECTION) * min(lacking.real, _made(plain, lacking))
    if _made(gan, lacking) < due:
        return None
    judge = RunFolder(folder.path / "judge")
    judge.path.mkdir(exist_ok=True)
    judge.write_record("plan.json", folder.plan)
    save_weights(judge, {"judge": found})
    with torch.no_grad():
        standard = given.data.units.standardise(plain.draw(TRIED, "repair-kept"))
        kept = float(found(torch.from_numpy(standard).float().to(plain.device)).mean())
    return State(gan, components, str(judge.path.relative_to(given.run.path))), kept


def _made(gan: TrainedGAN, lacking: Shortfall) -> float:
    return float(lacking.inside(gan.draw(TRIED, "repair-made")).mean())
