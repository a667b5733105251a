"""How gradients are found: the way and the chunk that fit a budget of memory, chosen by formulas. No torch."""

from typing import Literal, NamedTuple

from theodolite.kernel.errors import ResourceError
from theodolite.nested_vit.config import NestedViTConfig
from theodolite.nested_vit.costs import Costs

Mode = Literal["ordinary", "recomputed", "stored"]
MODES: tuple[Mode, ...] = ("ordinary", "recomputed", "stored")
USUAL_CHUNK = 16  # windows
LARGEST_CHUNK = 64  # windows: larger ones are no faster
MOST_RECOMPUTED = 2.2  # times the nominal work that recomputation may cost before storing, which needs a disk, is taken


class Choice(NamedTuple):
    """A way to gradients and what it costs.

    Attributes
    ----------
    mode : {"ordinary", "recomputed", "stored"}
        The way.
    chunk : int
        Windows computed at a time.
    flops, nominal : int
        Work of a forward and backward pass, and that of ordinary autograd.
    peak : int
        Most bytes that tensors hold at one moment of a step with AdamW.
    files : int
        Bytes of files mapped into memory beside them.
    why : str
        In words.
    """

    mode: Mode
    chunk: int
    flops: int
    nominal: int
    peak: int
    files: int
    why: str

    @property
    def times(self) -> float:
        """Work in units of the nominal one."""
        return self.flops / self.nominal


def choose(
    config: NestedViTConfig, height: int, width: int | None = None, batch: int = 1, by_windows: bool = False
) -> Choice:
    """Choose how to find the gradients of a batch of images.

    Parameters
    ----------
    config : NestedViTConfig
        Its `gradients`, `memory` and `chunk` are obeyed.
    height, width : int
        Of the images, px; square unless a width is given.
    batch : int
        How many images at once.
    by_windows : bool
        Whether by chunks images and maps of what is true are read when they are needed, and not held.

    Raises
    ------
    ResourceError
        If nothing that the settings allow fits the memory.
    """
    costs = Costs(config, height, width, batch, by_windows)
    allowed = MODES if config.gradients == "auto" else (config.gradients,)
    found = {mode: fitting for mode in allowed if (fitting := fit(costs, mode))}
    if not found:
        least = min(
            (costed(costs, mode, config.chunk or 1) for mode in allowed), key=lambda choice: (choice.peak, choice.flops)
        )
        chunk = f"{least.chunk} window{'s' * (least.chunk > 1)} at a time"
        raise ResourceError(
            f"a step on {batch} × {height} × {width or height} px takes {least.peak / 2**20:,.0f} MiB at least "
            f"({least.mode}, {chunk}), and memory={(config.memory or 0) / 2**20:,.0f} MiB; "
            "give more --memory"
        )
    if config.gradients != "auto":
        return found[config.gradients]._replace(why="as the settings say")
    if "ordinary" in found:
        return found["ordinary"]._replace(why="it fits the memory" if config.memory else "no memory bound is set")
    recomputed = found.get("recomputed")
    if recomputed and recomputed.times <= MOST_RECOMPUTED:
        return recomputed._replace(why=f"ordinary autograd does not fit; no more than {MOST_RECOMPUTED} times the work")
    if "stored" in found:
        return found["stored"]._replace(why="ordinary autograd does not fit, and recomputing from pixels costs more")
    return found["recomputed"]._replace(why="nothing else fits the memory")


def fit(costs: Costs, mode: Mode) -> Choice | None:
    """A way with the largest chunk that fits the memory; None where none does."""
    config = costs.config
    if config.chunk:
        sizes = [config.chunk]
    elif config.memory is None:
        sizes = [USUAL_CHUNK]
    else:
        sizes = [LARGEST_CHUNK >> shift for shift in range(LARGEST_CHUNK.bit_length())]
    for size in sizes:
        choice = costed(costs, mode, size)
        if config.memory is None or choice.peak <= config.memory:
            return choice
    return None


def costed(costs: Costs, mode: Mode, chunk: int) -> Choice:
    """A way and what it costs."""
    chosen = min(chunk, costs.windows)
    files = costs.files if mode == "stored" else 0
    return Choice(mode, chosen, costs.flops(mode), costs.ordinary, costs.peak(mode, chosen), files, "")
