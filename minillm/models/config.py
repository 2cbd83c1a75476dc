"""What the models' configurations share: checks whose messages name the field, and what a dtype means."""

from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

from minillm.errors import ConfigError
from minillm.tensor import Tensor


def check(config: Any, *sizes: str) -> None:
    """ConfigError unless the fields `sizes` are at least 1 (or None, where one may be left out), dropout is a
    probability below 1, and every field of a few words (a `Literal`) has one of them."""
    for name in sizes:
        if getattr(config, name) is not None and getattr(config, name) < 1:
            raise ConfigError(f"{name}={getattr(config, name)} must be at least 1")
    for name, hint in get_type_hints(type(config)).items():
        if get_origin(hint) is Literal and getattr(config, name) not in get_args(hint):
            raise ConfigError(f"{name}={getattr(config, name)!r} must be one of {', '.join(get_args(hint))}")
    if not 0 <= config.dropout < 1:
        raise ConfigError(f"dropout={config.dropout} must be at least 0 and below 1")


def check_rotary(config: Any) -> None:
    """ConfigError where rotary positions would have to turn pairs of an odd number of features."""
    if config.position == "rotary" and config.d_model % (2 * config.n_head):
        raise ConfigError(
            "position='rotary' turns a head's features in pairs: "
            f"d_model / n_head = {config.d_model} / {config.n_head} must be even"
        )


class Numerics:
    """What follows from a configuration's `dtype`: float32, bfloat16 or float64."""

    dtype: Any

    @property
    def array_dtype(self) -> str:
        """Type of the weights and activations in memory."""
        return "float64" if self.dtype == "float64" else "float32"

    @property
    def precision(self) -> str | None:
        """Of the operands of matrix products, where it isn't that of the arrays."""
        return "bfloat16" if self.dtype == "bfloat16" else None

    def stored(self, x: Tensor) -> Tensor:
        """Activations x in the type they are kept in. With bfloat16 on a GPU that is bfloat16: the layers after it
        take and give bfloat16, computing in float32. On the CPU arrays stay float32, whatever is multiplied."""
        return x.astype("bfloat16") if self.dtype == "bfloat16" and not isinstance(x._array, np.ndarray) else x
