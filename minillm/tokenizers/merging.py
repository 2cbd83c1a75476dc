"""Merging the bytes of one chunk into tokens: the way to read it, and a fast way that gives the same.

merges: {(left id, right id): (priority, merged id)}; the smallest priority goes first, and of equals the leftmost.
"""

from heapq import heapify, heappop, heappush

Merges = dict[tuple[int, int], tuple[int, int]]
NEVER = (1 << 62, -1)
SHORT = 24  # tokens up to which searching the whole list again for each merge is faster than a heap


def merge_readable(ids: list[int], merges: Merges) -> list[int]:
    """Find the best pair, merge it, and again, until no pair has a rule. Quadratic in the length."""
    ids = list(ids)
    while len(ids) > 1:
        ranked = [(merges.get(pair, NEVER), i) for i, pair in enumerate(zip(ids, ids[1:], strict=False))]
        (priority, merged), i = min(ranked, key=lambda found: (found[0][0], found[1]))
        if priority == NEVER[0]:
            break
        ids[i : i + 2] = [merged]
    return ids


def merge(ids: list[int], merges: Merges) -> list[int]:
    """The same result; for a long chunk in time n log n, by a heap over a linked list."""
    return merge_readable(ids, merges) if len(ids) <= SHORT else _merge_by_heap(list(ids), merges)


def _merge_by_heap(ids: list[int], merges: Merges) -> list[int]:
    """A heap of (priority, place) beside a doubly linked list of tokens.

    A heap entry is stale when the token at its place, or the next one, has changed since; it is recognised by
    looking the pair up again, and dropped.
    """
    n = len(ids)
    after, before = list(range(1, n + 1)), list(range(-1, n - 1))
    heap = []
    for i in range(n - 1):
        rule = merges.get((ids[i], ids[i + 1]))
        if rule:
            heap.append((rule[0], i))
    heapify(heap)
    while heap:
        priority, i = heappop(heap)
        j = after[i]
        if ids[i] < 0 or j >= n:
            continue
        rule = merges.get((ids[i], ids[j]))
        if not rule or rule[0] != priority:
            continue
        ids[i], ids[j] = rule[1], -1  # the left place takes the merged token, the right one leaves the list
        k = after[i] = after[j]
        if k < n:
            before[k] = i
            rule = merges.get((ids[i], ids[k]))
            if rule:
                heappush(heap, (rule[0], i))
        h = before[i]
        if h >= 0:
            rule = merges.get((ids[h], ids[i]))
            if rule:
                heappush(heap, (rule[0], h))
    return [token for token in ids if token >= 0]
