"""What the kernels of attention share: a tile of rows in shared memory, and which keys a query may look at."""

from numba import cuda


@cuda.jit(device=True)
def load_tile(tile, rows, start, threads):
    """Copy rows start, start + 1, ... into the tile, as many as it holds and there are.

    rows: (n, d) in global memory (the GPU's own, off the chip);  tile: (size, at least d), shared.  Neighbouring
    threads take neighbouring elements.
    """
    d = rows.shape[1]
    count = min(tile.shape[0], rows.shape[0] - start)
    for e in range(cuda.threadIdx.x, count * d, threads):
        tile[e // d, e % d] = rows[start + e // d, e % d]


@cuda.jit(device=True)
def is_visible(mask, batch, head, i, j, reach):
    """Whether query i may look at key j: mask ∧ (j ≤ i + reach).

    reach: keys − queries for causal attention (the last query stands beside the last key), keys for all.
    mask: booleans, (batch or 1, heads or 1, queries or 1, keys or 1); an axis of 1 stands for all.
    """
    if j > i + reach:
        return False
    m = mask[batch % mask.shape[0], head % mask.shape[1]]
    return m[i % mask.shape[2], j % mask.shape[3]]


@cuda.jit(device=True)
def dot(a, b, n):
    """Σ_c a_c b_c over the first n numbers."""
    total = a[0] * b[0]
    for c in range(1, n):
        total += a[c] * b[c]
    return total
