"""What a tape holds: the bytes saved for the backward pass."""

from collections.abc import Iterable
from typing import Any

from minillm.backend import arrays_in
from minillm.tape import topological_order
from minillm.tensor import Tensor


def saved_bytes(loss: Tensor, parameters: Iterable[Tensor]) -> int:
    """Bytes that the nodes behind `loss` keep for backward, each array once, the parameters themselves left out.

    Two nodes may save one array, or two views of it; what counts is the memory behind them.
    """
    owners = {id(owner): owner for node in topological_order(loss.node) for owner in map(_owner, arrays_in(node.saved))}
    for p in parameters:
        owners.pop(id(_owner(p._array)), None)
    return sum(owner.nbytes for owner in owners.values())


def _owner(array: Any) -> Any:
    """The array whose memory `array` views, through any number of views."""
    while isinstance(base := getattr(array, "base", None), type(array)):
        array = base
    return array
