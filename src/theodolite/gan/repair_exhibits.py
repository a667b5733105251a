"""What a repair did, in words and pictures: certified bounds before and after, modes, and what the new ones make."""

from collections.abc import Iterator

import numpy as np

from theodolite.coverage.words import certainty
from theodolite.gan.dataset import Dataset, high_quality_shares
from theodolite.gan.repaired import Repair, Round
from theodolite.gan.samples import TrainedGAN
from theodolite.kernel.exhibits import Cell, Chart, Exhibit, Gallery, Layer, Table
from theodolite.kernel.runs import RunFolder

DRAWN = 20_000  # generated samples counted before and after
MOST_MODES = 64  # that a chart shows one by one
TILES = 24
DUE, BEFORE, AFTER = "due", "before", "after"


def sentences(repair: Repair) -> tuple[str, ...]:
    """Say what every round did, with its certified bounds."""
    return tuple(_sentence(one, repair.settings.confidence) for one in repair.rounds if one.made_at_least > 0)


def _sentence(one: Round, confidence: float) -> str:
    where = f"the set that it was found to miss, {one.reals_inside / one.reals:.1%} of the held-out data"
    sure = f"at {certainty(confidence)} confidence in all"
    if one.accepted:
        return (
            f"Round {one.number} of the repair mended {where}: the generator now puts there at least "
            f"{one.made_at_least:.0%} of what is due, where it put at most {one.made_at_most:.1%}, {sure}."
        )
    return f"Round {one.number} of the repair was {one.why}; the generator is the one before."


def of(run: RunFolder, repair: Repair, data: Dataset) -> Iterator[Exhibit]:
    """Describe what a repair did, and store its arrays."""
    yield rounds_table(repair)
    if not repair.accepted:
        return
    if data.counted is not None and data.counted.modes <= MOST_MODES:
        yield _modes_chart(run, data)
    if data.image_shape is not None:
        yield _made_by_the_further(run, repair, data)


def rounds_table(repair: Repair) -> Table:
    """List the rounds with their bounds."""
    rows: list[tuple[Cell, ...]] = [
        (
            one.number,
            f"{one.reals_inside:,} of {one.reals:,}",
            _bound("≤", one.made_at_most, one.before_inside, one.fakes),
            _bound("≥", one.made_at_least, one.after_inside, one.fakes) if one.share else "",
            f"{one.share:.1%}" if one.share else "",
            f"{one.fidelity_before:.1%}" + (f" → {one.fidelity_after:.1%}" if one.share else ""),
            "mended" if one.accepted else "left",
        )
        for one in repair.rounds
    ]
    mended = [one for one in repair.rounds if one.accepted]
    first = f"{len(mended)} of {len(repair.rounds)} rounds mended the generator"
    if mended:
        best = mended[0]
        first = (
            f"The missed set held at most {best.made_at_most:.1%} of what is due; after the repair it holds at least "
            f"{best.made_at_least:.0%}"
        )
    ends = repair.settings.rounds + 1
    return Table(
        title=first,
        caption="The missed set A is fixed before these samples are looked at: certified is the share of its due that "
        "is made there, beside the generated samples in A. Held-out samples of each round are its own; all bounds hold "
        f"together at {certainty(repair.settings.confidence)} confidence. Fidelity is an estimate. "
        f"A of round 1 was seen by {repair.rounds[0].seen_by}. The audit's own bounds count the same held-out samples, "
        f"which chose among at most {ends} generators: each is made so that all {ends} would hold together.",
        columns=("round", "held-out in A", "made before", "made after", "share of the new", "fidelity", "outcome"),
        rows=tuple(rows),
    )


def _bound(sign: str, made: float, inside: int, drawn: int) -> str:
    bound = f"{sign} {made:.1%}" if np.isfinite(made) else "unbounded"
    return f"{bound} ({inside:,} of {drawn:,})"


def _modes_chart(run: RunFolder, data: Dataset) -> Chart:
    counted = data.counted
    if counted is None:
        raise ValueError("modes are counted where they are known")
    shares = {DUE: counted.weights}
    for name, repaired in ((BEFORE, False), (AFTER, True)):
        shares[name] = high_quality_shares(counted, TrainedGAN(run, repaired=repaired).draw(DRAWN, "repair-shown"))
    worst = {name: float((shares[name] / counted.weights).min()) for name in (BEFORE, AFTER)}
    layers = tuple(
        Layer(
            mark="point" if name != DUE else "line",
            columns={
                "mode": list(range(1, counted.modes + 1)),
                "share": np.round(100 * values, 3).tolist(),
                "who": [name] * counted.modes,
            },
            x="mode",
            y="share",
            color="who",
            dashed=name == DUE,
        )
        for name, values in shares.items()
    )
    return Chart(
        title=f"The mode that got least had {worst[BEFORE]:.0%} of its due before the repair, {worst[AFTER]:.0%} after",
        caption=f"Share of {DRAWN:,} generated samples that are of high quality and of each mode.",
        layers=layers,
        x_title="mode",
        y_title="share, %",
        roles={DUE: "theory", BEFORE: "generated", AFTER: "accent"},
    )


def _made_by_the_further(run: RunFolder, repair: Repair, data: Dataset) -> Gallery:
    """Show the first images of the further generators, none chosen."""
    folders = [part.folder for part in repair.components[1:]]
    each = -(-TILES // len(folders))
    made = np.concatenate([TrainedGAN(RunFolder(run.path / name), repaired=False).draw(each) for name in folders])
    low, high = float(data.train.min()), float(data.train.max())
    images = np.clip(np.round(255 * (made - low) / (high - low)), 0, 255).astype(np.uint8)
    share = sum(part.share for part in repair.components[1:])
    generators = "generator" if len(folders) == 1 else "generators"
    return Gallery(
        title=f"What the further {generators} make{'s' if len(folders) == 1 else ''}, {share:.1%} of the mixture",
        caption="The first images, none chosen; they were trained on what the first generator misses.",
        array=run.save_array("repair-made", images),
        labels=tuple(f"round {1 + number // each}" for number in range(len(made))),
        row_name="further",
    )
