"""Where a graph's boxes stand: nothing overlaps, every line goes down, and lines pass between boxes."""

from hypothesis import given
from hypothesis import strategies as st

from minillm.views.layout import lay_out


@st.composite
def graphs(draw):
    n = draw(st.integers(1, 14))
    sizes = [(draw(st.integers(30, 240)), draw(st.integers(20, 90))) for _ in range(n)]
    pairs = [(a, b) for b in range(n) for a in range(b)]
    return sizes, draw(st.lists(st.sampled_from(pairs), max_size=20)) if pairs else []


@given(graphs())
def test_boxes_keep_apart_and_lines_go_down_between_them(graph):
    sizes, edges = graph
    layout = lay_out(sizes, edges)
    boxes = [(x - w / 2, y - h / 2, x + w / 2, y + h / 2) for (x, y), (w, h) in zip(layout.centre, sizes, strict=True)]
    for i, (left, top, right, bottom) in enumerate(boxes):
        assert left >= -1e-6 and top >= -1e-6 and right <= layout.width + 1e-6 and bottom <= layout.height + 1e-6
        for other in boxes[:i]:
            assert right < other[0] or other[2] < left or bottom < other[1] or other[3] < top
    for (a, b), line in zip(edges, layout.lines, strict=True):
        assert layout.centre[a][1] < layout.centre[b][1]
        assert all(y < below for (_, y), (_, below) in zip(line, line[1:], strict=False))
        for x, y in line[1:-1]:
            assert not any(left <= x <= right and top < y < bottom for left, top, right, bottom in boxes)


def test_a_chain_is_one_straight_column():
    layout = lay_out([(50, 30), (120, 30), (80, 30)], [(0, 1), (1, 2)])
    assert len({x for x, _ in layout.centre}) == 1
    assert all(len({x for x, _ in line}) == 1 for line in layout.lines)


def test_an_input_stands_just_above_its_first_user():
    layout = lay_out([(50, 30)] * 5, [(0, 2), (2, 3), (3, 4), (1, 4)])
    assert layout.centre[1][1] == layout.centre[3][1]
