"""What an audit of a GAN says: sentences and large figures, computed from what was measured."""

import numpy as np

from theodolite.coverage.words import coverage_figures, coverage_sentences
from theodolite.gan.examination import Examination, Modes
from theodolite.kernel.records import Figure
from theodolite.theory.gaussian import NORMAL_95


def sentences(found: Examination) -> tuple[str, ...]:
    """Say what was found in at most four sentences, most important first."""
    of_coverage = coverage_sentences(found.result)
    if found.modes is None:
        return (of_coverage[0], *_of_withheld(found), *of_coverage[1:])[:4]
    return (_of_modes(found.modes), *_of_missed_modes(found, found.modes), of_coverage[0], of_coverage[-1])[:4]


def _of_modes(modes: Modes) -> str:
    near = modes.shares.sum()
    error = NORMAL_95 * np.sqrt(near * (1 - near) / modes.counted)
    margin = f" (± {100 * error:.1f})" if error >= 0.0005 else ""
    return (
        f"The generator makes {modes.made.sum()} of {modes.truth.modes} modes; {100 * near:.1f}%{margin} of its "
        f"samples {modes.truth.high_quality}."
    )


def _of_missed_modes(found: Examination, modes: Modes) -> tuple[str, ...]:
    missed = np.flatnonzero(~modes.made)
    if not missed.size:
        return ()
    inside = np.isin(np.asarray(found.data.held_out_labels), missed)
    due = modes.truth.weights[missed].sum()
    where = f"the mode {modes.truth.describe(missed[0])}" if missed.size == 1 else f"the {missed.size} modes"
    never = ", which was never shown it," if [found.config.withhold] == missed.tolist() else ""
    return (
        f"In {where} that it misses lies {due:.1%} of the data; the trained D{never} says "
        f"{found.said_real[inside].mean():.2f} there on average, the estimated D̂ "
        f"{found.result.discriminator[inside].mean():.2f}.",
    )


def _of_withheld(found: Examination) -> tuple[str, ...]:
    labels, withheld, named = found.data.held_out_labels, found.config.withhold, found.result.missed
    if labels is None or withheld is None:
        return ()
    inside = labels == withheld
    return (
        f"Of {inside.sum()} held-out {withheld}s, which training never saw, {named[inside].sum()} are named missed; "
        f"of {(~inside).sum()} others, {named[~inside].sum()}. The trained D says {found.said_real[inside].mean():.2f} "
        f"of those {withheld}s on average, the estimated D̂ {found.result.discriminator[inside].mean():.2f}.",
    )


def figures(found: Examination) -> tuple[Figure, ...]:
    """Return the large figures of the first screen."""
    of_coverage = coverage_figures(found.result)
    modes = found.modes
    if modes is None:
        return tuple(of_coverage)
    return (
        Figure(value=f"{modes.made.sum()} of {modes.truth.modes}", unit="modes", meaning="does the generator make"),
        Figure(
            value=f"{100 * modes.shares.sum():.1f}",
            unit="%",
            meaning=f"of its samples {modes.truth.high_quality}",
        ),
        *(of_coverage[place] for place in (0, 2)),
    )
