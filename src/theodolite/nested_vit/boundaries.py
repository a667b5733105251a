"""Patches between stages, in files that are mapped into memory: not in memory itself, and gone whatever happens."""

import os
import shutil
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from theodolite.kernel.errors import ResourceError


class Boundaries:
    """What left the local blocks of stages, or its cotangent: one tensor a stage.

    Files lose their name once they are mapped: the system takes them back when the last mapping ends, even if the
    process is killed.

    Parameters
    ----------
    shape : (windows, patches, width)
        Of each boundary.
    stages : int
        How many are kept: those of the first stages.
    like : tensor
        Gives type and device of what is read.
    folder : Path or None
        Where the files are; None for the system's folder of temporary files.

    Raises
    ------
    ResourceError
        If the disk has too little room, or the folder cannot be written.
    """

    def __init__(self, shape: tuple[int, int, int], stages: int, like: Tensor, folder: Path | None = None) -> None:
        self.device = like.device
        folder = folder or Path(tempfile.gettempdir())
        each = torch.Size(shape).numel() * like.element_size()
        if self.device.type == "meta":
            self._kept: list[Tensor | None] = [torch.empty(shape, device="meta") for _ in range(stages)]
            return
        try:
            free = shutil.disk_usage(folder).free
            if stages * each > free:
                raise ResourceError(
                    f"stored boundaries take {stages * each / 1e6:,.0f} MB; {folder} has {free / 1e6:,.0f} MB free: "
                    "make room, name another folder by TMPDIR, or take gradients=recomputed"
                )
            self._kept = [_mapped(shape, like.dtype, folder) for _ in range(stages)]
        except OSError as error:
            raise ResourceError(
                f"boundaries cannot be stored in {folder}: {error.strerror or error}; name another folder by TMPDIR"
            ) from None

    def keeps(self, stage: int) -> bool:
        """Whether this stage's boundary is kept."""
        return stage < len(self._kept)

    def read(self, stage: int, chosen: slice) -> Tensor:
        """Return what was written of the chosen windows; on the CPU a view of the file."""
        return self._of(stage)[chosen].to(self.device)

    @torch.no_grad()
    def write(self, stage: int, chosen: slice, patches: Tensor) -> None:
        """Keep patches, or their cotangents, of the chosen windows, where the stage is kept."""
        if self.keeps(stage):
            self._of(stage)[chosen] = patches

    def forget(self, stage: int) -> None:
        """Give back what a stage has taken."""
        if self.keeps(stage):
            self._kept[stage] = None

    def _of(self, stage: int) -> Tensor:
        found = self._kept[stage]
        if found is None:
            raise RuntimeError(f"the boundary of stage {stage} was forgotten")
        return found


def _mapped(shape: tuple[int, int, int], dtype: torch.dtype, folder: Path) -> Tensor:
    """Return a tensor in a file without a name, whose room on the disk is taken at once."""
    count = torch.Size(shape).numel()
    with tempfile.NamedTemporaryFile(dir=folder, prefix="theodolite-boundary-") as file:
        if hasattr(os, "posix_fallocate"):  # a hole in a file would kill the process when the disk is full
            os.posix_fallocate(file.fileno(), 0, count * dtype.itemsize)
        return torch.from_file(file.name, shared=True, size=count, dtype=dtype).view(shape)
