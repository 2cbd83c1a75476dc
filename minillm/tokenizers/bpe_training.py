"""Learning BPE merges from text (Sennrich et al. 2016, section 3.2): merge the most frequent pair, again and again.

Only the words that hold the merged pair are touched, and the counts of the pairs beside it are corrected, not counted
anew.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from heapq import heapify, heappop, heappush
from typing import Any

from minillm.kernels import native_module
from minillm.tokenizers.native import character_kinds, known_pattern
from minillm.tokenizers.patterns import chunks
from minillm.tokenizers.text import documents

Pair = tuple[int, int]
BATCH = 1 << 24  # characters that the native code counts at a time
SLICE = 64  # merges that it learns at a time


def count_chunks(texts: Iterable[str], pattern: str) -> Counter[bytes]:
    """How often each chunk occurs, as UTF-8 bytes (lone surrogates as U+FFFD). Shows its progress on a terminal."""
    native, name = native_module(), known_pattern(pattern)
    if native and name:
        return _count_natively(native, texts, name)
    counts: Counter[str] = Counter()
    with _progress("reading", "character") as bar:
        for text in documents(texts):
            counts.update(chunks(pattern, text))
            bar.update(len(text))
    return Counter({chunk.encode(): count for chunk, count in counts.items()})


def _count_natively(native: Any, texts: Iterable[str], pattern: str) -> Counter[bytes]:
    """The same by all threads, for a few million characters at a time."""
    counts, waiting, size = native.ChunkCounts(), [], 0
    with _progress("reading", "character") as bar:
        for text in documents(texts):
            waiting.append(text)
            size += len(text)
            if size >= BATCH:
                counts.add(pattern, character_kinds(), waiting)
                bar.update(size)
                waiting, size = [], 0
        counts.add(pattern, character_kinds(), waiting)
    return Counter(dict(counts.items()))


def learn_merges(counts: Counter[bytes], n_merges: int) -> list[Pair]:
    """The merges in the order learnt; the i-th makes token 256 + i. Fewer if every chunk has become one token.

    Of equally frequent pairs the one with the smallest ids goes first, so the result depends on the text alone.
    Shows a progress bar on a terminal.
    """
    native = native_module()
    if native:
        return _learn_natively(native, counts, n_merges)
    words = [(list(chunk), count) for chunk, count in sorted(counts.items()) if len(chunk) > 1]
    frequency: dict[Pair, int] = defaultdict(int)
    places: dict[Pair, set[int]] = defaultdict(set)
    for w, (ids, count) in enumerate(words):
        for pair in zip(ids, ids[1:], strict=False):
            frequency[pair] += count
            places[pair].add(w)
    heap = [(-count, pair) for pair, count in frequency.items()]
    heapify(heap)

    merges: list[Pair] = []
    with _progress("BPE merges", "merge", n_merges) as bar:
        while heap and len(merges) < n_merges:
            count, pair = heappop(heap)
            if frequency.get(pair, 0) != -count:  # its count has changed since: put back with the right one
                if frequency.get(pair, 0) > 0:
                    heappush(heap, (-frequency[pair], pair))
                continue
            for changed in _merge_everywhere(pair, 256 + len(merges), words, frequency, places):
                heappush(heap, (-frequency[changed], changed))
            merges.append(pair)
            bar.update()
    return merges


def _learn_natively(native: Any, counts: Counter[bytes], n_merges: int) -> list[Pair]:
    learner = native.MergeLearner([(chunk, count) for chunk, count in counts.items() if len(chunk) > 1])
    merges: list[Pair] = []
    with _progress("BPE merges", "merge", n_merges) as bar:
        while len(merges) < n_merges:
            learnt = learner.learn(min(SLICE, n_merges - len(merges)))  # between two calls Ctrl-C is heard
            if not learnt:
                break
            merges += learnt
            bar.update(len(learnt))
    return merges


def _merge_everywhere(
    pair: Pair,
    new: int,
    words: list[tuple[list[int], int]],
    frequency: dict[Pair, int],
    places: dict[Pair, set[int]],
) -> set[Pair]:
    """Merge `pair` into token `new` in every word that holds it; returns the pairs that have become more frequent."""
    left, right = pair
    made: set[Pair] = set()
    for w in places.pop(pair):
        ids, count = words[w]
        merged: list[int] = []
        end = 0  # ids[:end] are in `merged`
        for i in _occurrences(ids, left, right):
            merged += ids[end:i]
            end = i + 2
            # Only the pairs on both sides change. If the merge before touches this one, it has counted
            # (new, left) as the pair between them, which is taken back here.
            if merged:
                frequency[merged[-1], left] -= count
                frequency[merged[-1], new] += count
                places[merged[-1], new].add(w)
                made.add((merged[-1], new))
            if end < len(ids):
                frequency[right, ids[end]] -= count
                frequency[new, ids[end]] += count
                places[new, ids[end]].add(w)
                made.add((new, ids[end]))
            merged.append(new)
        words[w] = (merged + ids[end:], count)
    del frequency[pair]
    return {made_pair for made_pair in made if frequency[made_pair] > 0}


def _occurrences(ids: list[int], left: int, right: int) -> Iterator[int]:
    """Where `left` is followed by `right`, from the left and without overlap; list.index makes long words fast."""
    start, last = 0, len(ids) - 1
    with suppress(ValueError):  # index raises it when there is no further `left`
        while True:
            i = ids.index(left, start, last)
            start = i + 1
            if ids[start] == right:
                yield i
                start += 1


def _progress(what: str, unit: str, total: int | None = None) -> Any:
    from tqdm import tqdm

    on_terminal = sys.stderr.isatty()
    return tqdm(total=total, desc=what, unit=f" {unit}", unit_scale=True, leave=False, disable=not on_terminal)
