"""Chapter 17 has every fault of the document, and its right values are those that plain arithmetic finds.

The rows are kept here by short keys, recomputed with `math` and NumPy alone, beside the figures as printed when the
faults were listed. None of the library's ops is used: tests/test_errata.py asks those for the same numbers.
"""

import math
import re

import numpy as np
import pytest

from minillm.book import cells, chapter, module
from minillm.tasks import document


@pytest.fixture(scope="module")
def faults():
    """What the chapter noted: key -> (what the document says, what is right, the right numbers)."""
    with pytest.MonkeyPatch.context() as patch:
        for shown in ("say", "show"):  # they need a notebook; these tests don't
            patch.setattr(f"minillm.book.{shown}", lambda *_: None)
        return module("17", "errata").FAULTS


def shares(scores):
    e = [math.exp(score) for score in scores]
    return [x / sum(e) for x in e]


def row(query, keys, d_k):
    """Shares of ids taken as vectors of size 1, and the output."""
    p = shares([query * key / math.sqrt(d_k) for key in keys])
    return [*p, sum(x * key for x, key in zip(p, keys, strict=True))]


def literal(p):
    return -(5 * math.log(p) + 6 * math.log(1 - p))


def parameters(d, f):
    """Of an encoder and of a decoder layer, matrix by matrix."""
    attention = sum(rows * columns + columns for rows, columns in [(d, d)] * 4)
    network = (d * f + f) + (f * d + d)
    return attention + network + 2 * 2 * d, 2 * attention + network + 3 * 2 * d


def smallest_by_bisection():
    """Where −5/p + 6/(1 − p), the literal loss's derivative, changes its sign."""
    low, high = 0.01, 0.99
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if -5 / middle + 6 / (1 - middle) < 0 else (low, middle)
    return low


def nearest_to_the_printed_shares():
    """How near any scale brings shares of 3, 4, 5 to .5, .2, .3, on the chapter's grid."""
    grid = [10 ** (-6 + 7 * i / 1999) for i in range(2000)]
    tried = [shares([3 * s * key for key in (3, 4, 5)]) for s in [*grid, *(-s for s in grid)]]
    return min(max(abs(a - b) for a, b in zip(p, (0.5, 0.2, 0.3), strict=True)) for p in tried)


def mean_of_four_tokens():
    scores = np.random.default_rng(0).normal(size=(4, 5)).tolist()
    return sum(-math.log(shares(x)[target]) for x, target in zip(scores, [0, 4, 2, 2], strict=True)) / 4


IN_ENCODER, IN_DECODER = parameters(512, 2048)
MEAN = -(math.log(0.4) + math.log(0.6)) / 2
BEST = smallest_by_bisection()

ROWS = {
    "4.3.1 the sentence": ([len(range(1, 21))], [20]),
    "4.3.2 the size": (
        [8 * 64, IN_ENCODER, IN_DECODER, 20 * IN_ENCODER + 2 * IN_DECODER],
        [512, 3_152_384, 4_204_032, 71_455_744],
    ),
    "4.3.3 softmax of one number": ([*(shares([q * 3 / 8])[0] for q in (3, 4, 5)), 3, 4, 5], [1, 1, 1, 3, 4, 5]),
    "4.3.3 self-attention": (
        [x for q in (3, 4, 5) for x in row(q, [3, 4, 5], 64)],
        [0.21872, 0.31824, 0.46304, 4.24431, 0.18632, 0.30720, 0.50648, 4.32016, 0.15727, 0.29381, 0.54892, 4.39165],
    ),
    "4.3.3 word 3": ([5, nearest_to_the_printed_shares()], [5]),
    "4.3.3 √64": (row(3, [3, 4, 5], 1), [0.00236, 0.04731, 0.95033, 4.94797]),
    "4.3.3 cross-attention": (
        [30 / 8, 40 / 8, 50 / 8, *row(10, [3, 4, 5], 64), *row(10, [3, 4], 64)[:2]],
        [3.75, 5, 6.25, 0.05998, 0.20934, 0.73068, 4.67070, 0.22270, 0.77730],
    ),
    "4.3.3 picking a word": ([row(10, [3, 4, 5], 64)[-1], 1], [4.67070, 1]),
    "4.3.4 the literal sum": (
        [5 * math.log(0.4), 6 * math.log(0.6), literal(0.4), math.log(4), math.log(6), math.log(24)],
        [-4.58145, -3.06495, 7.64641],
    ),
    "4.3.4 ids for y": ([2 * MEAN, MEAN, math.exp(MEAN)], [1.42712, 0.71356, 2.04124]),
    "4.3.4 the smallest loss": ([literal(BEST), BEST, 1 - BEST], [7.57910, 0.45455, 0.54545]),
    "4.1.1 residuals and norms": ([0], [0]),
    "4.1.1 the plus": ([True], []),
    "4.1.1 the decoder layer": ([3, 0], [3]),
    "4.1.2 the sum and the mean": ([mean_of_four_tokens()], []),
    "4.2 the derivation": ([4 * 512 * 512 + 4 * 512, 0], []),
    "4.2 rows of the softmax": ([1] * 100, [1] * 100),
    "3.3.1 long text": ([8 * 1000**2 * 4, 20 * 8 * 1000**2 * 4, 2**2], [32e6, 640e6]),
    "2.4 the flow chart": ([False, True], []),
    "6.4.2 distillation": ([0, 0], []),
    "9.4 smaller models": ([True, True], []),
    "9.5 F1": ([2 * 0.8 * 0.5 / (0.8 + 0.5)], [0.6154]),
    "9.5 missing measures": ([math.exp(MEAN), 6 / 7, 6 / 6], []),
    "7.3 the title": ([0], []),
    "5.2 (1)": ([True], []),
    "5.2 (2)": ([3], []),
    "5.2 (3)": ([True], []),
    "5.2 (4)": ([True], []),
    "5.2 (5)": ([1], []),
    "5.2 (6)": ([0, 1], []),
    "5.2 (7)": ([0, True], []),
    "5.2 (8)": ([1, True], []),
    "5.2 (9)": ([True, True], []),
    "5.2 (10)": ([1 - 32 / 80, (32 * 4 + 48 * 0.01) / 80, 4], []),
    "5.2 (11)": ([True, 2 * 100 * 2048 + 2048 + 100, 2 * 100 * 256 + 256 + 100], []),
    "5.2 (12)": ([0, 5], []),
    "5.2 (13)": ([True], []),
    "5.2 (14)": ([4 * math.ceil(127 / 64) / (127 // 64), 4 * math.ceil(129 / 64) / (129 // 64)], []),
    "5.2 (15)": ([0, 25], []),
    "5.2 (16)": ([20, 4], []),
    "5.2 (17)": ([2], []),
    "5.2 (18)": ([0, True], []),
    "5.2 (19)": ([1 - (6 + 3 + 7) / (6 + 11 + 7), True], []),
    "5.2 splits": ([], []),
    "5.2 one argument": ([], []),
    "5.2 idle layers": ([sum(parameters(100, 2048))], []),
}
"""Of each row the numbers recomputed here, and the figures printed for the first of them when faults were listed."""

PHRASES = {
    "4.1.1 the plus": "composition",
    "4.1.1 residuals and norms": "h + FFN(LN(h))",
    "4.1.2 the sum and the mean": "y is one-hot",
    "4.2 the derivation": "$W_Q$, $W_K$, $W_V$, $W_O$",
    "4.3.3 word 3": "token 5",
    "2.2 the two stages": "after pre-training",
    "2.4 the flow chart": "one leads to the other",
    "9.2 the two stages": "after pre-training",
    "6.4.2 distillation": "answers without examples is pre-training",
    "9.4 smaller models": "not by itself",
    "9.5 F1": "harmonic mean",
    "9.5 missing measures": "BLEU (precision",
    "7.3 the title": "Few-Shot Learners",
    "5.2 (1)": "can `read_texts`: True",
    "5.2 (2)": "halves of a text",
    "5.2 (3)": "nothing reads: tgt",
    "5.2 (4)": "missing 1 required positional argument: 'memory'",
    "5.2 (5)": "(batch, time)",
    "5.2 (6)": "The right way round words have 100%",
    "5.2 (7)": "with the mask by 0.0000",
    "5.2 (8)": "repeats its input",
    "5.2 (9)": "dog bites man",
    "5.2 (10)": "of the targets are padding",
    "5.2 (11)": "nothing reads hidden_dim",
    "5.2 (12)": "once they are put there",
    "5.2 (13)": "never used: test_iterator, valid_iterator",
    "5.2 (14)": "ZeroDivisionError",
    "5.2 (15)": "that of `<unk>`",
    "5.2 (16)": "end token",
    "5.2 (17)": "The last place alone",
    "5.2 (18)": "axes in order",
    "5.2 (19)": "the only field is “when it rains”",
    "5.2 splits": "`splits((train_data, valid_data, test_data), …)`",
    "5.2 one argument": "wants a target, too",
    "5.2 idle layers": "no gradient ever reaches",
}
"""What the right-hand text of a row must say where its numbers alone wouldn't notice that it says something else."""

MEASURED = ["4.2 √d_k", "2.2 the two stages", "9.2 the two stages"]  # with tests of their own


def test_the_chapter_has_every_row_and_no_other(faults):
    assert sorted(faults) == sorted([*ROWS, *MEASURED])


@pytest.mark.parametrize("key", ROWS)
def test_a_row_is_right(key, faults):
    said, right, values = faults[key]
    recomputed, figures = ROWS[key]
    assert said and right
    assert len(values) == len(recomputed)
    np.testing.assert_allclose(np.array(values, float), np.array(recomputed, float), rtol=1e-9, atol=1e-6)
    for value, figure in zip(values, figures, strict=False):
        digits = 4 if key == "9.5 F1" else 5
        assert abs(value - figure) <= 0.5 * 10**-digits + 1e-12, f"{value} isn't {figure}"


@pytest.mark.parametrize("key", PHRASES)
def test_a_row_says_what_is_right(key, faults):
    _, right, _ = faults[key]
    assert PHRASES[key] in right


def test_the_literal_loss_is_never_0():
    assert min(literal(i / 1000) for i in range(1, 1000)) >= literal(5 / 11) > 7.5
    assert abs(BEST - 5 / 11) < 1e-12


def test_the_variance_of_a_score_is_d_k(faults):
    """Of products of two normal numbers the fourth moment is 9; so a variance of n sums has about this error."""
    _, _, (raw, scaled) = faults["4.2 √d_k"]
    d_k, n = 64, 20_000
    error = d_k * math.sqrt((2 + 6 / d_k) / n)
    assert abs(raw - d_k) < 4 * error
    assert abs(63.8 - d_k) < 4 * error  # as measured when the faults were listed
    assert scaled == pytest.approx(raw / d_k)
    assert abs(0.996 - 1) < 4 * error / d_k


@pytest.mark.parametrize("key", ["2.2 the two stages", "9.2 the two stages"])
def test_fine_tuning_adds_to_pre_training(key, faults):
    _, _, (both, second_alone, first_alone) = faults[key]
    assert both < first_alone < second_alone < math.log(27)


def test_every_correction_of_the_program_is_shown_with_its_line(faults):
    """The numbers are those of the table in minillm/tasks/document.py."""
    marked = {int(number) for number in re.findall(r"^  (\d+) {2,}\S", document.__doc__ or "", re.MULTILINE)}
    assert marked == set(range(1, 20))
    assert {key for key in faults if key.startswith("5.2 (")} == {f"5.2 ({number})" for number in marked}
    put_right = module("17", "errata").put_right
    for number in marked:
        text, line = put_right(number)
        assert f"({number})" in text and line > (document.__doc__ or "").count("\n")


def test_every_section_is_named_in_the_chapters_text():
    text = "\n".join(cell.text for cell in cells(chapter("17")))
    for section in {key.split()[0] for key in [*ROWS, *MEASURED]}:
        assert section in text
