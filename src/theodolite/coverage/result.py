"""What an audit of coverage found: frozen, and equal after a trip through JSON."""

from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PlainSerializer, PlainValidator

from theodolite.kernel.records import Record


def _frozen(values: Any) -> NDArray[Any]:
    array = np.array(values)
    array.setflags(write=False)
    return array


Column = Annotated[NDArray[Any], PlainValidator(_frozen), PlainSerializer(lambda array: array.tolist())]


class FromBelow(Record):
    """A probability known from below: at least `lower` at the stated confidence; `estimate` ± `uncertainty` (95%)."""

    lower: float
    estimate: float
    uncertainty: float


class FromAbove(Record):
    """A probability known from above: at most `upper` at the stated confidence; `estimate` ± `uncertainty` (95%)."""

    estimate: float
    upper: float
    uncertainty: float


class Needed(Record):
    """What it takes to see a missed mass: calibrating and certifying samples included in the totals."""

    mass: float
    fakes: int
    reals: int


class TrainGap(Record):
    """What one D̂ says of the train set T and of held-out reals, and the gap.

    Attributes
    ----------
    overlap_train, overlap_held_out, coverage_train, coverage_held_out : float
        Means of min(1, p̂_θ/p̂_r), and shares with p̂_θ > τ·p̂_r: values that lean on D̂.
    gap, uncertainty : float
        ``overlap_train − overlap_held_out`` and the half-width of its 95% interval.
    closer : float
        P(a T sample is closer to its nearest fake than a held-out one), ties counted half: 1/2 where nothing is copied.
    closer_uncertainty : float
        Half-width of its 95% interval where nothing is copied.
    """

    overlap_train: float
    overlap_held_out: float
    coverage_train: float
    coverage_held_out: float
    gap: float
    uncertainty: float
    closer: float
    closer_uncertainty: float


class PrecisionRecall(Record):
    """Certified upper curve: at the stated confidence no point of the true curve lies above it; and an estimate.

    Attributes
    ----------
    recall, precision : array (slopes,)
        The certified curve; recall falls and precision rises.
    recall_estimate, precision_estimate : array (slopes,)
        The same sets without the room for chance; from above, too, but for chance.
    """

    recall: Column
    precision: Column
    recall_estimate: Column
    precision_estimate: Column


class Group(Record):
    """What is missed of one group: of a cluster of missed samples, or of a label that was given.

    Attributes
    ----------
    samples, named : int
        Reals of the label, and how many of them are named missed; of a cluster only the named count.
    missed_mass : FromBelow
        P_r(in the group, and p_θ ≤ τ·p_r), of all the data; the bounds of all groups hold together.
    examples : tuple of int
        Reals of the group that are named missed, the highest D̂ first.
    """

    kind: Literal["cluster", "label"]
    name: str
    samples: int
    named: int
    missed_mass: FromBelow
    examples: tuple[int, ...] = ()


class Sweep(Record):
    """The audit at every τ of a grid; `lower` is certified for all of them at once."""

    tau: Column
    named: Column
    lower: Column
    estimate: Column
    uncertainty: Column


class Calibration(Record):
    """A given discriminator, held against samples: what it says, and how often it is right.

    Attributes
    ----------
    said, true : array (bins,)
        Mean probability said that a sample is real, and the share that is, real and generated at even weight.
    error : float
        Mean distance of the two.
    auc : float
        P(it ranks a real above a generated one).
    """

    said: Column
    true: Column
    error: float
    auc: float


class Landscape(Record):
    """D̂ on a grid, where the data have one or two coordinates.

    Attributes
    ----------
    axes : tuple of array
        Coordinates along each axis.
    discriminator : array (len of each axis)
        Mean of both fits; the first axis is x.
    """

    axes: tuple[Column, ...]
    discriminator: Column


class CoverageResult(Record):
    """What of the data a generator misses; see `theodolite.coverage.audit.audit_coverage`.

    n reals, m fakes. Everything said of a sample comes from fits that saw neither it nor its half of the reals.

    Attributes
    ----------
    missed : bool array (n,)
        Named missed: of those named, at most `alpha` are covered at more than `tau`, in expectation.
    p_values : array (n,)
        Conformal p-values of "this sample was generated"; small where generated samples are rare.
    discriminator : array (n,)
        D̂ on the reals, at even odds.
    discriminator_fake : array (fakes that calibrated,)
        D̂ on them, the mean over the two fits.
    calibration : int array
        Which fakes these are.
    nearest : int array (n,)
        Index of the nearest fake of each real, in the samples' own units.
    missed_mass : FromBelow
        P_r{p_θ ≤ τ·p_r}. The estimate is a variational one: before it is brought into [lower, 1] its expectation is
        not above the truth.
    total_variation : FromBelow
        Likewise.
    coverage, overlap, fidelity : FromAbove
        1 − missed mass; 1 − total variation; the share of fakes that is not invented. No lower bound exists without
        assumptions.
    precision_recall : PrecisionRecall
        Certified upper curve of precision and recall.
    game_value, game_value_uncertainty : float
        Held-out mean log D̂ + mean log(1 − D̂), nats: an estimate from below of 2·JS − log 4.
    auc : float
        P(D̂ ranks a real above a fake), held out.
    smallest_nameable_mass : float
        Smaller missed masses cannot be named with this many fakes; infinite where none can.
    needed : tuple of Needed
        Samples for missed masses of 0.5, 1 and 2%.
    groups : tuple of Group
        Clusters of what is missed, and the given labels.
    cluster : int array (n,)
        Which cluster each named real is in, counted from 0; −1 of the others.
    sweep : Sweep
        Named, certified and estimated at a grid of τ.
    calibration_of_given : Calibration or None
        Where a discriminator was given.
    landscape : Landscape or None
        D̂ on a grid, for data of one or two coordinates.
    features : str
        In which space samples were compared.
    train_gap : TrainGap or None
        Where the train set was given.
    warnings : tuple of str
        What a reader must know first.
    """

    tau: float
    alpha: float
    confidence: float
    seed: int
    reals: int
    fakes: int
    missed: Column
    p_values: Column
    discriminator: Column
    discriminator_fake: Column
    calibration: Column
    nearest: Column
    missed_mass: FromBelow
    total_variation: FromBelow
    coverage: FromAbove
    overlap: FromAbove
    fidelity: FromAbove
    precision_recall: PrecisionRecall
    game_value: float
    game_value_uncertainty: float = Field(description="half-width of a 95% interval, nats")
    auc: float
    smallest_nameable_mass: float
    needed: tuple[Needed, ...]
    groups: tuple[Group, ...] = ()
    cluster: Column = Field(default_factory=lambda: _frozen(np.zeros(0, dtype=int)))
    sweep: Sweep
    calibration_of_given: Calibration | None = None
    landscape: Landscape | None = None
    features: str = "raw"
    train_gap: TrainGap | None = None
    warnings: tuple[str, ...] = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CoverageResult) and self.model_dump_json() == other.model_dump_json()

    __hash__ = None  # type: ignore[assignment]  # arrays have no hash
