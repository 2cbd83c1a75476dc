"""Sequences of different lengths in one batch: padding with a mask, and batches of similar length by token budget.

Batches follow Ott et al. (2019, fairseq, section 3): sorted by length, cut where a batch would pass the budget, in
random order. Which batch a step gets is a pure function of (seed, step), so a resumed run needs no saved state.
"""

import zlib
from collections.abc import Sequence

import numpy as np

from minillm.errors import ConfigError, DataError

_STREAM = zlib.crc32(b"examples")  # keeps these draws apart from dropout's and sampling's of the same seed


def pad(
    sequences: Sequence[Sequence[int] | np.ndarray], pad_id: int, length: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """ids (batch, time) int64, filled up at the right with `pad_id`, and mask (batch, time) bool, True on real tokens.

    time: `length`, or that of the longest sequence. DataError where one is longer than `length`.
    """
    lengths = np.array([len(sequence) for sequence in sequences], np.int64)
    longest = int(lengths.max(initial=0))
    time = longest if length is None else length
    if longest > time:
        raise DataError(
            f"sequence {int(lengths.argmax())} has {longest} tokens, more than the length of {time}; see `fitting`"
        )
    ids = np.full((len(lengths), time), pad_id, np.int64)
    for row, sequence in zip(ids, sequences, strict=True):
        row[: len(sequence)] = sequence
    return ids, np.arange(time) < lengths[:, None]


def fitting(
    sequences: Sequence[Sequence[int] | np.ndarray], context_length: int, truncate: bool | None = False
) -> list[Sequence[int] | np.ndarray]:
    """The sequences, none longer than the context: a longer one raises DataError, which counts them, or is cut at the
    right where `truncate` asks for it. None: as False, for a task that has no --truncate to advise."""
    longer = [len(sequence) for sequence in sequences if len(sequence) > context_length]
    if longer and not truncate:
        shorten = "leave them out" if truncate is None else "cut them with --truncate"
        raise DataError(
            f"{len(longer)} of {len(sequences)} sequences are longer than the context of {context_length} tokens, the "
            f"longest has {max(longer)}; {shorten}, or raise --context-length (not with --from, which brings its own)"
        )
    return [sequence[:context_length] for sequence in sequences]


class Bucketed:
    """Batches of examples of similar length, each example once an epoch.

    lengths: tokens of each example, (examples,); of a pair, the longer side's.
    budget: most tokens of a padded batch, its rows times its longest.
    An epoch has len(self) batches: how lengths sort, hence where they are cut, is the same in all of them. What
    differs is who stands beside whom among examples of equal rounded length, and the order of the batches.
    Raises DataError where there is no example, or one longer than the budget.
    """

    def __init__(self, lengths: Sequence[int] | np.ndarray, budget: int, seed: int):
        self.lengths, self.seed = np.asarray(lengths, np.int64), seed
        if not self.lengths.size:
            raise DataError("there are no examples to make batches of")
        longest = int(self.lengths.max())
        if longest > budget:
            raise DataError(
                f"{int((self.lengths > budget).sum())} of {self.lengths.size} examples have more tokens than a batch "
                f"may hold ({budget}), the longest {longest}; raise the budget, or see `fitting`"
            )
        self._rounded = np.minimum(_rounded(np.maximum(self.lengths, 1)), max(longest, 1))
        self._cuts = _cuts(np.sort(self._rounded), budget)
        self._epoch: tuple[int, list[np.ndarray]] = (-1, [])  # the last one asked for; only saves time

    def __len__(self) -> int:
        """Batches an epoch."""
        return len(self._cuts) + 1

    def batch(self, step: int) -> np.ndarray:
        """The indices of the examples of a step (from 0), (rows,) int64."""
        if step < 0:
            raise ConfigError(f"step={step} must be 0 or more")
        epoch, place = divmod(step, len(self))
        if self._epoch[0] != epoch:
            self._epoch = (epoch, self._batches(epoch))
        return self._epoch[1][place]

    def _batches(self, epoch: int) -> list[np.ndarray]:
        key = (self.seed * 2**32 + _STREAM) % 2**64
        rng = np.random.Generator(np.random.Philox(key=key, counter=[0, 0, epoch, 0]))
        mixed = rng.permutation(len(self.lengths))
        by_length = mixed[np.argsort(self._rounded[mixed], kind="stable")]
        batches = np.split(by_length, self._cuts)
        return [batches[i] for i in rng.permutation(len(batches))]


def _rounded(lengths: np.ndarray) -> np.ndarray:
    """Lengths rounded up to four binary digits, hence by less than an eighth: 1 ... 16, 18, 20 ... 32, 36, 40 ...

    Examples of equal rounded length are mixed anew in each epoch. Where lengths hardly repeat, exact ones would put the
    same examples side by side for ever.
    """
    unit = 2 ** np.maximum(np.log2(lengths).astype(np.int64) - 3, 0)
    return -(-lengths // unit) * unit


def _cuts(ascending: np.ndarray, budget: int) -> list[int]:
    """Where a list of ascending lengths is cut, so that rows times longest stays within the budget."""
    cuts, start = [], 0
    for i, length in enumerate(ascending.tolist()):
        if (i + 1 - start) * length > budget:
            cuts.append(i)
            start = i
    return cuts
