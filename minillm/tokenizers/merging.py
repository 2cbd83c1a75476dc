"""Merging the bytes of one chunk into tokens: the way to read it, and a fast way that gives the same.

merges: {(left id, right id): (priority, merged id)}; the smallest priority goes first, and of equals the leftmost.
"""

from heapq import heapify, heappop, heappush

Merges = dict[tuple[int, int], tuple[int, int]]
NEVER = (1 << 62, -1)
SHORT = 24  # tokens up to which searching the whole list again for each merge is faster than keeping places


def merge(ids: list[int], merges: Merges) -> list[int]:
    """The tokens that `merges` makes of `ids`, by whichever of the two ways below is faster at this length."""
    return merge_readable(ids, merges) if len(ids) <= SHORT else merge_linear(ids, merges)


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


def merge_linear(ids: list[int], merges: Merges) -> list[int]:
    """The same result in time about linear in the length.

    The tokens form a doubly linked list (`before`, `after`), so that a merge moves nothing. Every place with a rule
    waits in the list of its priority; a heap knows the smallest priority. There are far fewer priorities than places,
    and one list is sorted at once, which is why this beats a heap of places. A place whose token, or the next one,
    has changed since it began to wait is recognised by looking its pair up again, and dropped.
    """
    ids, n = list(ids), len(ids)
    after, before = list(range(1, n + 1)), list(range(-1, n - 1))
    waiting: dict[int, list[int]] = {}  # priority: minus the places, so that the leftmost stands last once sorted
    for i, pair in enumerate(zip(ids, ids[1:], strict=False)):
        rule = merges.get(pair)
        if rule is not None:
            waiting.setdefault(rule[0], []).append(-i)
    priorities = list(waiting)
    heapify(priorities)
    begun: set[int] = set()  # priorities whose list is sorted

    def wait(place: int, next_place: int) -> None:
        rule = merges.get((ids[place], ids[next_place]))
        if rule is None:
            return
        if rule[0] in waiting:
            # A list that is sorted stays so: what comes to it comes from the merge at hand, left of all that waits.
            waiting[rule[0]].append(-place)
        else:
            waiting[rule[0]] = [-place]
            heappush(priorities, rule[0])

    while priorities:
        priority = priorities[0]
        places = waiting[priority]
        if priority not in begun:
            places.sort()
            begun.add(priority)
        while places and priorities[0] == priority:  # a merge may make a pair that goes before the rest
            i = -places.pop()
            j = after[i]
            if ids[i] < 0 or j >= n or (rule := merges.get((ids[i], ids[j]))) is None or rule[0] != priority:
                continue
            ids[i], ids[j] = rule[1], -1  # the left place takes the merged token, the right one leaves the list
            k = after[i] = after[j]
            if k < n:
                before[k] = i
                wait(i, k)
            if before[i] >= 0:
                wait(before[i], i)
        if not places and priorities[0] == priority:
            heappop(priorities)
            del waiting[priority]
            begun.remove(priority)
    return [token for token in ids if token >= 0]
