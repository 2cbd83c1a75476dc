"""Numbers to three digits, and tokens whose spaces and bytes can be seen."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.views.text import clipped, number, numbers, visible, width


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.5, "0.500"), (-1, "−1.00"), (12.345, "12.3"), (-1234.5, "−1230"), (0, "0"), (-0.0, "0"), (9.999, "10.0")]
    + [(1.234e-7, "1.23e−7"), (6.02e23, "6.02e23"), (math.inf, "∞"), (-math.inf, "−∞"), (math.nan, "NaN")],
)
def test_three_significant_digits(value, shown):
    assert number(value) == shown


@given(st.floats(-1e300, 1e300))
def test_a_number_shown_is_within_half_a_unit_of_its_third_digit(value):
    assert math.isclose(float(number(value).replace("−", "-")), value, rel_tol=0.00501, abs_tol=1e-320)
    assert len(number(value)) <= 10


def test_small_arrays_show_their_numbers_and_large_ones_their_norm():
    assert numbers(2.0) == "2.00"
    assert numbers([[1.0, 2.0], [3.0, -4.0]]) == "[[1.00, 2.00], [3.00, −4.00]]"
    assert numbers(np.full(16, 0.5)) == "‖·‖ = 2.00"


def test_what_cannot_be_seen_is_written_out():
    assert visible(" the\n\t") == "␣the↵⇥"
    assert visible("你好 🙂") == "你好␣🙂"
    assert visible(" 你".encode()[:3]) == "␣⟨E4⟩⟨BD⟩"
    assert visible("é".encode()) == "é"
    assert visible("\u200d\u00a0\x00") == "⟨U+200D⟩⟨U+00A0⟩⟨U+0000⟩"
    assert visible("\u0301") == "◌\u0301"


@given(st.binary())
def test_any_bytes_can_be_shown(token):
    assert visible(token).isprintable()
    visible(token).encode()


@given(st.text(), st.floats(20, 200))
def test_a_clipped_text_fits_and_begins_as_the_text(text, pixels):
    short = clipped(text, pixels, 13)
    assert width(short, 13) <= pixels
    assert short == text or text.startswith(short.removesuffix("…"))
