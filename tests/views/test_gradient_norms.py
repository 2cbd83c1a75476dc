"""Gradient norms on a logarithmic scale: a factor of ten is the same distance everywhere."""

import re

import numpy as np
import pytest

from minillm.errors import DataError, ShapeError
from minillm.views import gradient_norms
from tests.views.page import Page, numbers


def points(view, r):
    line = re.search(rf'class="mv-series mv-{r}" d="M([^"]+)"', view.steps[0].body)[1]
    return np.array([[float(x) for x in point.split()] for point in line.split("L")])


def test_equal_ratios_are_equal_distances():
    view = gradient_norms(["1", "2", "3"], {"post-norm": [0.01, 0.1, 1.0], "pre-norm": [0.5, 1.0, 2.0]})
    x, y = points(view, 1).T
    assert np.ptp(np.diff(x)) < 0.2
    assert np.diff(y)[0] == pytest.approx(np.diff(y)[1], abs=0.2)
    assert y[0] - y[1] > 0  # larger is higher up
    assert np.diff(points(view, 2)[:, 1])[0] == pytest.approx(np.diff(y)[0] * np.log10(2), abs=0.2)


def test_the_table_holds_the_norms():
    norms = [1.234, 0.0567]
    view = gradient_norms(["layer 1", "layer 2"], {"a run": norms})
    rows = Page(view._repr_html_()).tables["Norm of the gradient"]
    assert rows[0] == ["run", "layer 1", "layer 2"]
    np.testing.assert_allclose(numbers(rows), [norms], rtol=0.0051)
    assert "a run: 1.23, 0.0567" in repr(view)


def test_a_norm_of_0_stands_on_a_line_of_its_own():
    view = gradient_norms(["1", "2"], {"a": [0.0, 1.0]})
    y = points(view, 1)[:, 1]
    assert y[0] > y[1]
    assert Page(view.steps[0].body).texts["text"][0] == "0"
    gradient_norms(["1"], {"a": [0.0]})


@pytest.mark.parametrize(
    ("layers", "runs", "error", "message"),
    [
        (["1", "2"], {"a": [1.0]}, ShapeError, r"run 'a' has shape \(1,\) for 2 layers"),
        (["1"], {"a": [-1.0]}, DataError, "negative or not finite"),
        (["1"], {"a": [np.nan]}, DataError, "negative or not finite"),
        (["1"], {}, DataError, "0 runs"),
        ([], {"a": []}, DataError, "0 layers"),
        (["1"], dict.fromkeys("abcde", [1.0]), DataError, "5 runs"),
    ],
)
def test_what_does_not_fit_is_named(layers, runs, error, message):
    with pytest.raises(error, match=message):
        gradient_norms(layers, runs)
