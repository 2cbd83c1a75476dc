"""The loss on a plane: its numbers are the loss's, its path is where the optimiser went."""

import numpy as np
import pytest

from minillm.errors import ConfigError, DataError, ShapeError
from minillm.views import landscape
from tests.views.page import Page, numbers


def bowl(x):
    return float(x @ x) + 1.0


def tables(view):
    return Page(view._repr_html_()).tables


def test_the_grid_is_the_loss_at_centre_plus_a_d1_plus_b_d2():
    centre, directions = np.array([1.0, 0.0, 2.0]), np.array([[2.0, 0, 0], [0, 1.0, 1.0]])
    view = landscape(bowl, centre, directions, radius=1.5, size=7, names=("first", "second"))
    rows = tables(view)["Loss; rows second, columns first"]
    a = [float(cell.replace("−", "-")) for cell in rows[0][1:]]
    b = [float(row[0].replace("−", "-")) for row in rows[1:]]
    assert a == b[::-1] == [-1.5, -1, -0.5, 0, 0.5, 1, 1.5]
    right = [[(1 + 2 * x) ** 2 + y**2 + (2 + y) ** 2 + 1 for x in a] for y in b]
    np.testing.assert_allclose(numbers(rows), right, rtol=0.0051)
    assert len(view.steps) == 1


def test_the_path_is_projected_by_least_squares_and_has_a_step_a_point():
    directions = np.array([[1.0, 1.0, 0], [0, 1.0, 0]])  # not at right angles
    points = [[1.0, 3.0, 4.0], [0.5, 0.5, 0.0]]
    view = landscape(bowl, np.zeros(3), directions, radius=1.0, size=5, path=points, names=("a", "b"))
    np.testing.assert_allclose(numbers(tables(view)["The path"]), [[1.0, 2.0, 27.0], [0.5, 0.0, 1.5]], rtol=0.0051)
    assert [step.title for step in view.steps] == ["The plane", "Point 1 of the path", "Point 2 of the path"]
    assert "4.00 away from the plane. It lies outside" in view.steps[1].text
    assert "0 away from the plane" in view.steps[2].text
    assert "outside" not in view.steps[2].text


def test_the_legend_names_the_unit_and_spans_the_losses():
    view = landscape(lambda x: float(np.exp(4 * x[0])), np.zeros(2), np.eye(2), size=9, unit="bits")
    texts = Page(view.steps[0].body).texts["text"]
    assert "loss (bits)" in texts
    assert "0.0183" in texts and "54.6" in texts and "1.00" in texts  # equal ratios: e⁻⁴ to e⁴, and their middle


def test_losses_that_are_not_finite_are_marked():
    view = landscape(lambda x: float("inf") if x[0] > 0 else bowl(x), np.zeros(2), np.eye(2), size=5)
    assert view.steps[0].body.count('"mv-hidden"') == 5
    assert "∞" in tables(view)["Loss; rows second direction, columns first direction"][1]
    with pytest.raises(DataError, match="no loss on the grid is finite"):
        landscape(lambda x: float("nan"), np.zeros(2), np.eye(2), size=5)


def test_a_flat_loss_can_be_drawn():
    assert "lowest loss 2.00" in repr(landscape(lambda x: 2.0, np.zeros(2), np.eye(2), size=3))


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"directions": np.eye(3)[:2]}, ShapeError, r"\(2,\) and \(2, 3\)"),
        ({"directions": [[1, 1], [2, 2]]}, ShapeError, "parallel"),
        ({"path": [[1, 2, 3]]}, ShapeError, r"\(1, 3\) and \(2,\)"),
        ({"path": np.zeros((150, 2))}, ShapeError, "up to 60 points; this one has 150: take every 3th"),
        ({"radius": 0}, ConfigError, "radius must be above 0"),
        ({"size": 1}, ConfigError, "size from 2 to 100"),
        ({"names": ["a"]}, ConfigError, "names are those of the two directions; got 1"),
    ],
)
def test_what_does_not_fit_is_named(changed, error, message):
    with pytest.raises(error, match=message):
        landscape(bowl, **({"centre": np.zeros(2), "directions": np.eye(2)} | changed))
