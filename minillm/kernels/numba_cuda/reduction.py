"""One number from the threads of a block: a tree in shared memory, log2(THREADS) levels deep.

    partial   a b c d e f g h        each thread brings one number
    half = 4  a+e b+f c+g d+h        the first half adds what the second holds,
    half = 2  ..+c+g ..+d+h          and so on, until one is left
    half = 1  the sum

A barrier (syncthreads) before each level: no thread may read what another hasn't written yet. All threads of the
block must call these functions, also those with nothing to add, or the others wait at the barrier for ever.
"""

from numba import cuda

from minillm.kernels.numba_cuda.launch import THREADS


@cuda.jit(device=True)
def block_sum(partial, value):
    """Σ value over the block's threads, to every thread. partial: shared memory, (THREADS,) float32."""
    t = cuda.threadIdx.x
    partial[t] = value
    half = THREADS // 2
    while half > 0:
        cuda.syncthreads()
        if t < half:
            partial[t] += partial[t + half]
        half //= 2
    cuda.syncthreads()
    total = partial[0]
    cuda.syncthreads()  # every thread has read it: `partial` may be written again
    return total


@cuda.jit(device=True)
def block_max(partial, value):
    """The largest value of the block's threads, to every thread. partial: shared memory, (THREADS,) float32."""
    t = cuda.threadIdx.x
    partial[t] = value
    half = THREADS // 2
    while half > 0:
        cuda.syncthreads()
        if t < half:
            partial[t] = max(partial[t], partial[t + half])
        half //= 2
    cuda.syncthreads()
    largest = partial[0]
    cuda.syncthreads()
    return largest
