"""Learning BPE merges from text (Sennrich et al. 2016, section 3.2): merge the most frequent pair, again and again.

Only the words that hold the merged pair are touched, and their pairs' counts are corrected, not counted anew.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from typing import Any

from minillm.tokenizers.patterns import chunks
from minillm.tokenizers.text import documents

Pair = tuple[int, int]


def count_chunks(texts: Iterable[str], pattern: str) -> Counter[bytes]:
    """How often each chunk occurs, as UTF-8 bytes (lone surrogates as U+FFFD). Shows its progress on a terminal."""
    counts: Counter[str] = Counter()
    with _progress("reading", "character") as bar:
        for text in documents(texts):
            counts.update(chunks(pattern, text))
            bar.update(len(text))
    return Counter({chunk.encode(): count for chunk, count in counts.items()})


def learn_merges(counts: Counter[bytes], n_merges: int) -> list[Pair]:
    """The merges in the order learnt; the i-th makes token 256 + i. Fewer if every chunk has become one token.

    Of equally frequent pairs the one with the smallest ids goes first, so the result depends on the text alone.
    Shows a progress bar on a terminal.
    """
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


def _merge_everywhere(
    pair: Pair,
    new: int,
    words: list[tuple[list[int], int]],
    frequency: dict[Pair, int],
    places: dict[Pair, set[int]],
) -> set[Pair]:
    """Merge `pair` into token `new` in every word that holds it; returns the pairs that became more frequent."""
    grown: set[Pair] = set()
    for w in places.pop(pair):
        ids, count = words[w]
        for old in zip(ids, ids[1:], strict=False):
            frequency[old] -= count
        merged = _merged(ids, pair, new)
        words[w] = (merged, count)
        for now in zip(merged, merged[1:], strict=False):
            frequency[now] += count
            if new in now:
                places[now].add(w)
                grown.add(now)
    frequency.pop(pair, None)
    return grown


def _merged(ids: list[int], pair: Pair, new: int) -> list[int]:
    left, right = pair
    out: list[int] = []
    i, n = 0, len(ids)
    while i < n:
        if ids[i] == left and i + 1 < n and ids[i + 1] == right:
            out.append(new)
            i += 2
        else:
            out.append(ids[i])
            i += 1
    return out


def _progress(what: str, unit: str, total: int | None = None) -> Any:
    from tqdm import tqdm

    on_terminal = sys.stderr.isatty()
    return tqdm(total=total, desc=what, unit=f" {unit}", unit_scale=True, leave=False, disable=not on_terminal)
