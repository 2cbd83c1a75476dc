"""The attention view's numbers, against the formula in float64."""

import numpy as np
import pytest

from minillm import Tensor, views
from minillm.errors import ShapeError
from tests.views.page import Page, numbers

TOKENS = ["The", " cat", " sat", "你好"]
ROUNDED = {"rtol": 0.0051, "atol": 1e-12}  # three significant digits


def heads(queries=4, keys=4, d_k=3, d_v=2, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(queries, d_k)), rng.normal(size=(keys, d_k)), rng.normal(size=(keys, d_v))


def by_hand(q, k, v, causal=False, scale=None):
    """softmax(Q Kᵀ / √d_k) V, without the maximum and row by row."""
    s = q @ k.T * (q.shape[1] ** -0.5 if scale is None else scale)
    e = np.exp(s)
    if causal:
        e *= np.arange(len(k))[None, :] <= np.arange(len(q))[:, None] + len(k) - len(q)
    p = e / e.sum(1, keepdims=True)
    return q @ k.T, s, p, p @ v


def tables(view):
    return Page(view._repr_html_()).tables


@pytest.mark.parametrize("options", [{}, {"causal": True}, {"scale": 0.25}])
def test_scores_weights_and_output_are_the_formula_s(options):
    q, k, v = heads()
    scores, scaled, p, output = by_hand(q, k, v, **options)
    shown = tables(views.attention(TOKENS, q, k, v, **options))
    scaled_name = "S · 0.250" if "scale" in options else "S / √d_k"
    for name, right in {"Q, 4 × 3": q, "K, 4 × 3": k, "S = Q Kᵀ": scores, scaled_name: scaled, "P": p, "V": v}.items():
        np.testing.assert_allclose(numbers(shown[name]), right, err_msg=name, **ROUNDED)
    np.testing.assert_allclose(numbers(shown["O = P V"]), output, **ROUNDED)


def test_each_row_s_softmax_is_shown_and_sums_to_1():
    q, k, v = heads()
    _, s, p, _ = by_hand(q, k, v)
    view = views.attention(TOKENS, q, k, v)
    shown = tables(view)
    for i in range(4):
        scores, shifted, e, weights = np.array(numbers(shown[f"softmax of row {i + 1}"]))
        np.testing.assert_allclose(scores, s[i], **ROUNDED)
        np.testing.assert_allclose(shifted, s[i] - s[i].max(), **ROUNDED)
        np.testing.assert_allclose(e, np.exp(s[i] - s[i].max()), **ROUNDED)
        np.testing.assert_allclose(weights, p[i], **ROUNDED)
        assert abs(weights.sum() - 1) < 0.0051
        assert "p sums to 1.00" in view.steps[3 + i].text
    assert np.abs(np.sum(numbers(shown["P"]), axis=1) - 1).max() < 0.0051


def test_masked_cells_say_hidden_and_count_as_minus_infinity():
    view = views.attention(TOKENS, *heads(), causal=True)
    shown = tables(view)
    hidden = np.triu(np.ones((4, 4), bool), 1)
    for name in ("masked scores", "P"):
        np.testing.assert_array_equal(np.array([row[1:] for row in shown[name][1:]]) == "hidden", hidden)
    assert [row[2] for row in shown["softmax of row 1"][1:]] == ["hidden", "−∞", "0", "0"]
    assert view.steps[3].body.count(">hidden<") == 6  # in the picture, too
    assert "hidden" not in "".join(step.body for step in views.attention(TOKENS, *heads()).steps)


def test_cross_attention_has_the_keys_own_tokens():
    view = views.attention(["Ein", " Hund"], *heads(2, 3), key_tokens=["A", " dog", "."])
    assert view.title.startswith("Cross-attention")
    rows = tables(view)["P"]
    assert rows[0] == ["", "A", "␣dog", "."]
    assert [row[0] for row in rows[1:]] == ["Ein", "␣Hund"]


def test_one_token_attends_to_itself():
    view = views.attention(["你"], *heads(1, 1), causal=True)
    assert numbers(tables(view)["P"]) == [[1.0]]
    assert "你 → 你 1.00" in repr(view)


def test_tensors_are_taken_and_wide_heads_cut():
    q, k, v = (Tensor(x.astype(np.float32), requires_grad=True) for x in heads(d_k=16))
    rows = tables(views.attention(TOKENS, q, k, v))["Q, 4 × 16"]
    assert rows[0] == ["", *"12345678", "…"]
    assert [row[-1] for row in rows[1:]] == ["…"] * 4


def test_many_tokens_are_colours_without_numbers():
    view = views.attention([f" {i}" for i in range(20)], *heads(20, 20), causal=True)
    assert [step.title for step in view.steps][3:] == ["The mask", "The weights", "The output"]
    assert 'mv-hidden"' in view.steps[3].body
    assert ">hidden<" not in view.steps[3].body
    assert "␣0, ␣19: hidden" in view.steps[3].body  # under the mouse


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"query": np.zeros((4, 5))}, r"d_k, .* \(4, 5\) and \(4, 3\)"),
        ({"value": np.zeros((3, 2))}, r"key has shape \(4, 3\), value \(3, 2\)"),
        ({"query": np.zeros((2, 4, 3))}, r"\(2, 4, 3\), \(4, 3\), \(4, 2\)"),
        ({"tokens": ["a"]}, r"1 tokens but query of shape \(4, 3\)"),
        ({"key_tokens": ["a"]}, r"1 key_tokens but key of shape \(4, 3\)"),
        ({"tokens": [], "query": np.zeros((0, 3))}, "no tokens"),
        ({"query": np.zeros((4, 0)), "key": np.zeros((4, 0))}, r"\(4, 0\) and \(4, 0\)"),
    ],
)
def test_what_does_not_fit_is_named(changed, message):
    q, k, v = heads()
    arguments = {"tokens": TOKENS, "query": q, "key": k, "value": v} | changed
    with pytest.raises(ShapeError, match=message):
        views.attention(**arguments)


def test_what_is_not_finite_is_shown_as_it_is():
    q, k, v = heads()
    q[0, 0], k[1, 1], v[3, 1] = np.inf, np.nan, np.nan
    shown = tables(views.attention(TOKENS, q, k, v, causal=True))
    assert shown["S = Q Kᵀ"][1][2] == "NaN"
    assert shown["V"][4][2] == "NaN"
    assert shown["P"][1][2:] == ["hidden"] * 3
    assert "nan" not in "".join(
        attributes.get("fill-opacity", "")
        for _, attributes in Page(views.attention(TOKENS, q, k, v)._repr_html_()).tags
    )


def test_too_many_tokens_are_refused():
    with pytest.raises(ShapeError, match="up to 64 tokens; got 65"):
        views.attention(["a"] * 65, *heads(65, 65))
