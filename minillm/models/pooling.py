"""One vector for a whole text, from the vectors of its tokens."""

from __future__ import annotations

from typing import Any

import numpy as np

from minillm.errors import ConfigError, ShapeError
from minillm.tensor import Tensor

POOLINGS = ("cls", "mean", "last")


def pooled(features: Tensor, mask: Any, how: str) -> Tensor:
    """(batch, time, d_model) to (batch, d_model).

    "cls":  the first token, [CLS] (Devlin et al. 2019, section 3)
    "mean": Σ_t m_t x_t / Σ_t m_t, over the real tokens (Reimers & Gurevych 2019, section 3)
    "last": the last real token, the one that has seen all others in a causal model (Radford et al. 2018, section 3.2)

    mask: (batch, time) booleans, True at real tokens; None if all are. ShapeError for a text without one.
    """
    check_pooling(how)
    if how == "cls":
        return features[:, 0]
    batch, time, _ = features.shape
    mask = np.ones((batch, time), bool) if mask is None else np.asarray(mask)
    if mask.shape != (batch, time) or not mask.any(1).all():
        raise ShapeError(
            f"pooling needs a mask of shape {(batch, time)} with a real token in every row; this one has shape "
            f"{mask.shape} and {mask.sum(-1).tolist()} real tokens"
        )
    if how == "last":
        return features[np.arange(batch), time - 1 - mask[:, ::-1].argmax(1)]
    weight = (mask / mask.sum(1, keepdims=True)).astype(features.dtype)
    return (features * weight[:, :, None]).sum(1)


def check_pooling(how: str) -> None:
    """ConfigError for a pooling that is none."""
    if how not in POOLINGS:
        raise ConfigError(f"pooling={how!r} must be one of {', '.join(POOLINGS)}")
