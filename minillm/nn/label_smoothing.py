"""Label smoothing at an output head, without ever storing the logits."""

import numpy as np

from minillm import ops
from minillm.ops.loss import IGNORED, check_label_smoothing
from minillm.tensor import Tensor


def smoothed_cross_entropy(
    x: Tensor, weight: Tensor, targets: np.ndarray, smoothing: float, precision: str | None = None
) -> Tensor:
    """The mean cross-entropy, in nats, of logits z = x Wᵀ against smoothed targets.  [4.1.2-ce]

    The target t gets 1 − ε + ε/V and every other class ε/V (Szegedy et al. 2016, section 7). As −ln p_j = lse(z) − z_j,

        L = (1 − ε)(lse(z) − z_t) + ε (lse(z) − z̄) = (lse(z) − z_t) + ε (z_t − z̄),   z̄ = 1/V Σ_j z_j

    The first term is the plain loss, which one op computes without keeping the logits; the second needs two products
    of vectors only: z_t = x·w_t and z̄ = x·w̄, w̄ the mean row of W.

    x: (..., d); weight: (V, d); targets: (...) integers, -100 where nothing counts; smoothing: ε from 0 to 1;
    precision: of the first term's products, as in `ops.linear`. Raises what `ops.linear_cross_entropy` raises, and
    ConfigError for an ε out of range.
    """
    check_label_smoothing("smoothed_cross_entropy", smoothing)
    plain = ops.linear_cross_entropy(x, weight, targets, precision=precision)
    if not smoothing:
        return plain
    counts = targets != IGNORED
    share = (counts / max(int(counts.sum()), 1)).astype(x.dtype)  # of each position in the mean
    above_mean = ops.embedding(weight, np.where(counts, targets, 0)) - weight.mean(axis=0)
    return plain + smoothing * (x * above_mean * share[..., None]).sum()
