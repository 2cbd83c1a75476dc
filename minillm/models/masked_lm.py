"""How well a masked language model fills in what was masked: pseudo-perplexity.  [3.2.2-mlm]"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import numpy as np

from minillm.errors import DataError, ShapeError
from minillm.models.bert import BERT
from minillm.ops.loss import IGNORED
from minillm.tape import no_grad


def pseudo_perplexity(
    model: BERT, ids: Any, mask_id: int, special_ids: Collection[int] = (), batch_size: int = 32
) -> float:
    """exp(−1/n Σ_t ln P(w_t | all others)): each token masked in turn, the rest left (Salazar et al. 2020, eq. 1, 3).

    ids: (time,) of one text as the model reads it, [CLS] and [SEP] included; these, as `special_ids`, aren't scored.
    Unlike a causal model's perplexity it is no probability of the text: each token is told all that follow.
    Switches the model to evaluation. Raises DataError where no token is left to score.
    """
    ids = np.asarray(ids)
    if ids.ndim != 1:
        raise ShapeError(f"pseudo_perplexity scores one text, (time,) ids; got shape {ids.shape}")
    places = np.flatnonzero(~np.isin(ids, list(special_ids)))
    if not len(places):
        raise DataError(f"no token to score: all {len(ids)} are special")
    total = 0.0
    model.eval()
    for start in range(0, len(places), batch_size):
        some = places[start : start + batch_size]
        rows = np.arange(len(some))
        inputs, targets = np.tile(ids, (len(some), 1)), np.full((len(some), len(ids)), IGNORED)
        inputs[rows, some], targets[rows, some] = mask_id, ids[some]
        with no_grad():
            total += model.loss(inputs, targets).item() * len(some)
    return math.exp(total / len(places))
