"""missed.csv: the samples that are named, for a spreadsheet or a script. File names in it are hostile."""

import csv
import io
from collections.abc import Sequence

import numpy as np

from theodolite.coverage.result import CoverageResult

COLUMNS = ("index", "file", "p", "D", "group")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # with which a cell begins that a spreadsheet would compute


def missed_csv(result: CoverageResult, names: Sequence[str]) -> str:
    """Return the named samples as CSV, the highest D̂ first.

    `index` counts from 0 in the order of the samples (of a folder: of the sorted names), `p` is the conformal p-value,
    `D` is D̂ out of fold, `group` the cluster as in the report. A name that a spreadsheet would take for a formula
    gets an apostrophe in front, and letters that are not to be seen are written as their codes.
    """
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    table.writerow(COLUMNS)
    named = np.flatnonzero(result.missed)
    for place in named[np.argsort(-result.discriminator[named], kind="stable")]:
        group = int(result.cluster[place]) + 1 if result.cluster.size else 0
        name = harmless(names[place]) if names else ""
        table.writerow(
            [int(place), name, f"{result.p_values[place]:.6g}", f"{result.discriminator[place]:.6g}", group or ""]
        )
    return file.getvalue()


def harmless(name: str) -> str:
    """Return a file's name as text that neither a terminal nor a spreadsheet acts upon."""
    seen = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in name)
    return f"'{seen}" if name.startswith(FORMULA) else seen
