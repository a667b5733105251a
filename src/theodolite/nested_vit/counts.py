"""What a network really does: FLOPs, on the meta device where nothing is computed, and bytes kept for backward."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import finalize

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry


class _Tally(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Adds up the FLOPs of every operation that PyTorch's own flop counter has a formula for."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # the same
        self.flops = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func.overloadpacket)
        if formula is not None:
            self.flops += int(formula(*args, **(kwargs or {}), out_val=result))
        return result


def count_flops(work: Callable[[], Any]) -> int:
    """FLOPs of a piece of work on meta tensors.

    The formulas are those of ``torch.utils.flop_counter``; its context manager cannot follow a backward pass that
    begins inside. On a CPU fused attention counts as nothing: hence meta tensors, where it is two matrix products.
    """
    tally = _Tally()
    with tally:
        work()
    return tally.flops


@dataclass
class Kept:
    """Bytes of tensors kept for a backward pass: now, and the most at one moment."""

    now: int = 0
    most: int = 0
    _held: set[int] = field(default_factory=set)

    def add(self, tensor: Tensor) -> None:
        """Count the memory behind a tensor, once while it lives."""
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._held:
            return
        self._held.add(key)
        self.now += size
        self.most = max(self.most, self.now)
        finalize(storage, self._release, key, size)

    def _release(self, key: int, size: int) -> None:
        self._held.discard(key)
        self.now -= size


@contextmanager
def counting_kept(parameters: Iterable[Tensor]) -> Iterator[Kept]:
    """Count what autograd keeps within the block: every storage once, for as long as it lives; parameters not."""
    own = {parameter.untyped_storage()._cdata for parameter in parameters}
    kept = Kept()

    def pack(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage()._cdata not in own:
            kept.add(tensor)
        return tensor

    def unpack(tensor: Tensor) -> Tensor:
        return tensor

    with saved_tensors_hooks(pack, unpack):
        yield kept


class _Allocations(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Counts the memory behind every result that is not the memory of an argument."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # the same
        self.held = Kept()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket is torch.ops.aten.from_file:
            return result
        given = {
            each.untyped_storage()._cdata for each in tree_leaves((args, kwargs or {})) if isinstance(each, Tensor)
        }
        for each in tree_leaves(result):
            if isinstance(each, Tensor) and each.untyped_storage()._cdata not in given:
                self.held.add(each)
        return result


@contextmanager
def counting_allocated() -> Iterator[Kept]:
    """Count what tensors made within the block hold: each storage once, for as long as it lives.

    Files mapped into memory are not counted, nor what an operation uses within itself.
    """
    tally = _Allocations()
    with tally:
        yield tally.held
