"""Places for the boxes of a graph: layers by longest path, few crossings, lines straight where they can be.

Sugiyama, Tagawa & Toda 1981: layers, order within layers, then coordinates. A line that passes a layer gets a narrow
waypoint there, so that it runs between the boxes and not behind them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

GAP, WAYPOINT = 26, 12  # pixels between boxes side by side; width kept free for a line that passes
_SWEEPS = 8  # over the layers, for their order
_SETTLING = 60  # rounds in which columns move towards their neighbours
_PORTS = 18  # pixels between the ends of lines that arrive at one box

Point = tuple[float, float]


@dataclass(frozen=True)
class Layout:
    """centre: of each box; lines: for each edge the points it goes through; width and height of all, in pixels."""

    centre: list[Point]
    lines: list[list[Point]]
    width: float
    height: float


def lay_out(sizes: Sequence[tuple[float, float]], edges: Sequence[tuple[int, int]], gap: float = 38) -> Layout:
    """Boxes of `sizes` (width, height), every edge (from, to) going down; `gap` pixels between layers.

    Vertices are numbered so that from < to: an order in which they can be computed.
    """
    layer = _layers(len(sizes), edges)
    widths, chains = [w for w, _ in sizes], []
    for a, b in edges:  # replace a long edge by a chain of short ones
        chain = [a]
        for between in range(layer[a] + 1, layer[b]):
            layer.append(between)
            widths.append(WAYPOINT)
            chain.append(len(layer) - 1)
        chains.append([*chain, b])
    above, below = defaultdict(list), defaultdict(list)
    for chain in chains:
        for a, b in zip(chain, chain[1:], strict=False):
            above[b].append(a)
            below[a].append(b)
    rows = [[v for v in range(len(layer)) if layer[v] == i] for i in range(max(layer) + 1)]
    x = _across(_ordered(rows, above, below), widths, above, below, len(sizes))
    heights = [max((sizes[v][1] for v in row if v < len(sizes)), default=0.0) for row in rows]
    tops = [sum(heights[:i]) + gap * i for i in range(len(rows))]
    y = [tops[i] + heights[i] / 2 for i in layer]
    arrive = _ports(chains, x)
    lines = []
    for i, chain in enumerate(chains):
        a, b = chain[0], chain[-1]
        points = [(x[a], y[a] + sizes[a][1] / 2)]
        for v in chain[1:-1]:
            points += [(x[v], tops[layer[v]]), (x[v], tops[layer[v]] + heights[layer[v]])]
        lines.append([*points, (arrive[i], y[b] - sizes[b][1] / 2)])
    width = max(x[v] + widths[v] / 2 for v in range(len(layer)))
    return Layout([(x[v], y[v]) for v in range(len(sizes))], lines, width, tops[-1] + heights[-1])


def _layers(n: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """The longest path from a source to each vertex; sources then move down to just above their first user."""
    layer = [0] * n
    for a, b in sorted(edges, key=lambda edge: edge[1]):
        layer[b] = max(layer[b], layer[a] + 1)
    targets = {b for _, b in edges}
    for source in set(range(n)) - targets:
        layer[source] = min((layer[b] - 1 for a, b in edges if a == source), default=0)
    return layer


def _ordered(rows: list[list[int]], above: dict, below: dict) -> list[list[int]]:
    """Each layer sorted by the mean place of its neighbours, downwards and upwards in turn; the best order seen."""
    best, fewest = rows, _crossings(rows, below)
    for sweep in range(_SWEEPS):
        rows = [list(row) for row in rows]
        down = sweep % 2 == 0
        neighbours = above if down else below
        place = {v: i / max(1, len(row) - 1) for row in rows for i, v in enumerate(row)}
        for row in rows if down else rows[::-1]:
            mean = {
                v: sum(place[u] for u in neighbours[v]) / len(neighbours[v]) if neighbours[v] else place[v] for v in row
            }
            row.sort(key=mean.__getitem__)
            place |= {v: i / max(1, len(row) - 1) if len(row) > 1 else 0.5 for i, v in enumerate(row)}
        crossings = _crossings(rows, below)
        if crossings < fewest:
            best, fewest = rows, crossings
    return best


def _crossings(rows: list[list[int]], below: dict) -> int:
    total = 0
    for upper, lower in zip(rows, rows[1:], strict=False):
        place = {v: i for i, v in enumerate(lower)}
        ends = [place[b] for a in upper for b in sorted(below[a], key=place.__getitem__)]
        total += sum(ends[i] > ends[j] for i in range(len(ends)) for j in range(i + 1, len(ends)))
    return total


def _ports(chains: list[list[int]], x: list[float]) -> list[float]:
    """Where along its box each line arrives: in the order they come from, the straight one in the middle."""
    arriving = defaultdict(list)
    for i, chain in enumerate(chains):
        arriving[chain[-1]].append(i)
    places = [0.0] * len(chains)
    for box, lines in arriving.items():
        lines.sort(key=lambda i: x[chains[i][-2]])
        straight = [k for k, i in enumerate(lines) if abs(x[chains[i][-2]] - x[box]) < 1]
        middle = straight[0] if len(straight) == 1 else (len(lines) - 1) / 2
        for k, i in enumerate(lines):
            places[i] = x[box] + _PORTS * (k - middle)
    return places


def _across(rows: list[list[int]], widths: list[float], above: dict, below: dict, n_boxes: int) -> list[float]:
    """x of each vertex: those of one column share it, columns keep apart, each near its neighbours; the left edge is 0.

    As in Brandes & Köpf 2001: what stands in one column is joined by straight lines.
    """
    column = _columns(rows, above, below, n_boxes)
    apart = [  # (left column, right column, distance of their centres at least)
        (column[u], column[v], (widths[u] + widths[v]) / 2 + GAP)
        for row in rows
        for u, v in zip(row, row[1:], strict=False)
    ]
    near = defaultdict(list)
    for b, sources in above.items():
        for a in sources:
            if column[a] != column[b]:
                near[column[a]].append(column[b])
                near[column[b]].append(column[a])
    x = dict.fromkeys(column, 0.0)
    for _ in column:  # the longest path from the left: as many rounds as there are columns are enough
        for u, v, distance in apart:
            x[v] = max(x[v], x[u] + distance)
    for _ in range(_SETTLING):
        for c in near:
            low = max((x[u] + distance for u, v, distance in apart if v == c), default=-float("inf"))
            high = min((x[v] - distance for u, v, distance in apart if u == c), default=float("inf"))
            x[c] = max(low, min(high, sum(x[u] for u in near[c]) / len(near[c])))
    left = min(x[column[v]] - w / 2 for v, w in enumerate(widths))
    return [x[column[v]] - left for v in range(len(widths))]


def _columns(rows: list[list[int]], above: dict, below: dict, n_boxes: int) -> list[int]:
    """For each vertex the topmost one of its column. Between two layers no two columns cross, so they can be straight.

    Where several lines could be straight, a long one (between waypoints) goes first, then one between ops.
    """
    column = list(range(sum(map(len, rows))))
    for upper, lower in zip(rows, rows[1:], strict=False):
        place = {v: i for row in (upper, lower) for i, v in enumerate(row)}
        lines = [(a, b) for a in upper for b in below[a]]
        lines.sort(key=lambda line: (-sum(v >= n_boxes for v in line), not above[line[0]]))
        straight: list[tuple[int, int]] = []
        for a, b in lines:
            if all((place[a] - place[c]) * (place[b] - place[d]) > 0 for c, d in straight):
                straight.append((a, b))
                column[b] = column[a]
    return column
