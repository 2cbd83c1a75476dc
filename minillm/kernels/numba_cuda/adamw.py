"""AdamW over lists of arrays, and what clipping by the global norm needs: a thread for each element.

The functions mean what those of csrc/cpu/kernels/optim.cpp mean, and take contiguous float32 arrays.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import cuda, float32

from minillm.backend import array_module
from minillm.kernels.numba_cuda.launch import THREADS, blocks, launch_elements, launch_rows
from minillm.kernels.numba_cuda.reduction import block_sum

CHUNK = 32 * THREADS  # elements whose squares a block adds


@cuda.jit
def adamw_elements(theta, g, m, v, gain1, gain2, eps, step, root, kept, scale):
    """A step for each element (Loshchilov & Hutter 2019, algorithm 2); gain1 = 1 − β₁, gain2 = 1 − β₂.

    m ← m + (1 − β₁)(s g − m);  v ← v + (1 − β₂)((s g)² − v);  θ ← kept θ − step m / (root √v + ε)
    """
    i = cuda.grid(1)
    if i < theta.size:
        gradient = g[i] * scale
        m[i] += gain1 * (gradient - m[i])
        v[i] += gain2 * (gradient * gradient - v[i])
        theta[i] = kept * theta[i] - step * m[i] / (root * math.sqrt(v[i]) + eps)


@cuda.jit
def square_sums(x, sums):
    """Σ x_i² of each CHUNK elements, by a block.  x: (n,);  sums: (blocks,)"""
    partial = cuda.shared.array(THREADS, float32)
    chunk, t = cuda.blockIdx.x, cuda.threadIdx.x
    total = float32(0)
    for i in range(chunk * CHUNK + t, min(x.size, (chunk + 1) * CHUNK), THREADS):
        total += x[i] * x[i]
    total = block_sum(partial, total)
    if t == 0:
        sums[chunk] = total


@cuda.jit
def scale_elements(x, factor):
    """x ← factor x.  x: (n,)"""
    i = cuda.grid(1)
    if i < x.size:
        x[i] *= factor


def adam_step(
    theta: Sequence[Any],
    g: Sequence[Any],
    m: Sequence[Any],
    v: Sequence[Any],
    decays: Sequence[bool],
    gain1: float,
    gain2: float,
    eps: float,
    step: float,
    root: float,
    kept: float,
    scale: float,
) -> None:
    """Update theta, m and v in place by the gradients g times `scale`.

    step: lr / (1 − β₁ᵗ);  root: 1 / √(1 − β₂ᵗ);  kept: 1 − lr λ, for the arrays that decay.
    """
    for arrays, decays_too in zip(zip(theta, g, m, v, strict=True), decays, strict=True):
        factors = (gain1, gain2, eps, step, root, kept if decays_too else 1, scale)
        flat = [a.reshape(-1) for a in arrays]
        launch_elements(adamw_elements, flat[0].size, *flat, *map(np.float32, factors))


def sum_of_squares(gradients: Sequence[Any]) -> float:
    """Σ g² over all arrays; the sums of the blocks are added in float64, all at once."""
    xp = array_module(gradients[0])
    sums = xp.concatenate([_square_sums(xp, g.reshape(-1)) for g in gradients])
    return float(sums.sum(dtype=xp.float64))


def _square_sums(xp: Any, flat: Any) -> Any:
    sums = xp.empty(blocks(flat.size, CHUNK), flat.dtype)
    launch_rows(square_sums, len(sums), flat, sums)
    return sums


def scale_arrays(gradients: Sequence[Any], factor: float) -> None:
    """g ← factor g in place, for every array."""
    for g in gradients:
        launch_elements(scale_elements, g.size, g.reshape(-1), np.float32(factor))
