"""What a repair leaves in a run folder, ``repair.json``: its rounds with their bounds, and the mixture if any."""

import hashlib
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationError, model_validator

from theodolite.kernel.errors import DataError
from theodolite.kernel.records import Record
from theodolite.kernel.runs import RunFolder
from theodolite.kernel.settings import Settings

NAME = "repair.json"
LARGEST_FILE = 2**20  # bytes
Share = Annotated[float, Field(ge=0, le=1)]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _number(value: float) -> float:
    if value != value:
        raise ValueError("a bound must be a number, not NaN")
    return value


class RepairSettings(Settings):
    """What is asked of a repair."""

    rounds: int = Field(1, ge=1, le=16, description="further generators at most, one a round")
    tau: float = Field(0.1, gt=0, le=1, description="a set is missed where at most this share of what is due is made")
    share: float = Field(0.5, gt=0, le=1, description="of what is due that must be made after, certified")
    loss: float = Field(0.05, ge=0, le=1, description="by how much fidelity may fall, as estimated")
    steps: int = Field(0, ge=0, description="training steps of each further generator; 0: as many as the run itself")
    confidence: float = Field(0.95, ge=0.5, lt=1, description="of all bounds of all rounds together")


class Round(Record):
    """One round: the set A, fixed before these samples were looked at, and what they say of it.

    Attributes
    ----------
    number : int
        From 1.
    seen_by : str
        What scores a sample, and so says which ones are in A.
    reals, reals_inside : int
        Held-out reals of this round, and how many of them are in A.
    fakes, before_inside, after_inside : int
        Fresh samples drawn before, and as many after; how many of each are in A.
    made_at_most, made_at_least : float
        Certified bounds of P_θ(A)/P_r(A): before from above, after from below.
    share : float
        Of the further generator in the mixture, β; 0 where none was trained.
    aimed : float
        Share of the samples of the further generator that are in A, by estimate.
    kept : float
        Share of the candidates that rejection keeps; 1 without rejection.
    fidelity_before, fidelity_after : float
        Share of what is generated that is not invented, by estimate.
    accepted : bool
        Whether the mixture of this round is used.
    why : str
        The outcome in one line.
    seconds : float
        That the round took, training included.
    """

    number: int = Field(ge=1)
    seen_by: str
    reals: int = Field(ge=0)
    reals_inside: int = Field(ge=0)
    fakes: int = Field(ge=0)
    before_inside: int = Field(ge=0)
    after_inside: int = Field(default=0, ge=0)
    made_at_most: Annotated[float, AfterValidator(_number)]
    made_at_least: Annotated[float, AfterValidator(_number)] = 0.0
    share: Share = 0.0
    aimed: Share = 0.0
    kept: Share = 1.0
    fidelity_before: Share = 0.0
    fidelity_after: Share = 0.0
    accepted: bool = False
    why: str
    seconds: float = 0.0


class Component(Record):
    """A generator of the mixture: its folder below the run's, its probability, and the hash of its weights."""

    folder: str = Field(pattern=r"^(|repair/round-[0-9]{1,2})$")
    share: float = Field(gt=0, le=1)
    sha256: Hash


class Repair(Record):
    """The outcome of a repair.

    Attributes
    ----------
    seal : str
        Digest of the run's plan.
    settings : RepairSettings
        What was asked.
    accepted : bool
        Whether the run draws from a mixture now.
    why : str
        In one line.
    rounds : tuple of Round
        All that were tried.
    components : tuple of Component
        Of the mixture, the run's own generator first; alone where nothing was accepted.
    judge : str
        Folder of what rejects samples; empty where nothing does.
    """

    seal: Hash
    settings: RepairSettings
    accepted: bool
    why: str
    rounds: tuple[Round, ...] = Field(min_length=1)
    components: tuple[Component, ...] = Field(min_length=1)
    judge: str = Field(default="", pattern=r"^(|repair/round-[0-9]{1,2}/judge)$")
    judge_sha256: str = ""

    @model_validator(mode="after")
    def _is_a_mixture(self) -> "Repair":
        if abs(sum(component.share for component in self.components) - 1) > 1e-6:
            raise ValueError("the shares of the components must sum to 1")
        if self.components[0].folder or not all(component.folder for component in self.components[1:]):
            raise ValueError("the first component, and no other, is the run's own generator")
        if self.accepted != (len(self.components) > 1):
            raise ValueError("there must be a further component if and only if a round was accepted")
        return self


def repair_of(run: RunFolder) -> Repair | None:
    """Read what a repair left, or None where there was none.

    Raises
    ------
    DataError
        If ``repair.json`` is damaged or of another plan, or weights are not those that were certified.
    """
    path = run.path / NAME
    if not path.exists():
        return None
    if not path.is_file() or path.stat().st_size > LARGEST_FILE:
        raise DataError(f"{path} is not a file of at most {LARGEST_FILE:,} bytes; delete it to use the old generator")
    try:
        found = Repair.model_validate_json(path.read_bytes())
    except (ValidationError, OSError) as error:
        complaint = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise DataError(f"{path} is damaged: {complaint.splitlines()[0]}; delete it to use the old generator") from None
    if found.seal != run.plan.digest():
        raise DataError(f"{path} was written under another plan; delete it to use the old generator")
    if found.accepted:
        weights = [(RunFolder(run.path / part.folder).weights, part.sha256) for part in found.components]
        if found.judge:
            weights.append((RunFolder(run.path / found.judge).weights, found.judge_sha256))
        for file, expected in weights:
            if sha256_of(file) != expected:
                raise DataError(
                    f"{file} is not what the repair certified; repeat theodolite gan repair with --force, or delete "
                    f"{path} to use the old generator"
                )
    return found


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, of an absent one that of nothing."""
    if not path.is_file():
        return hashlib.sha256().hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
