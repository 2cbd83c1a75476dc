"""The BPE view: its merges lead to the ids that `encode` gives, for any text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm import views
from minillm.errors import TokenError
from minillm.tokenizers import BPETokenizer, CharTokenizer
from tests.views.page import Page

ENGLISH = "The cat sat on the mat. The other cat sat on the other mat, didn't it?\n" * 4
CHINESE = "春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少。\n" * 4
SMALL = BPETokenizer.train([ENGLISH, CHINESE], 340)


def tables(view):
    return Page(view._repr_html_()).tables


def ids(view):
    """Of the last step's pieces, and of the table: they must agree."""
    page = Page(view.steps[-1].body)
    shown = [int(token) for token in page.texts["small"]]
    assert shown == [int(row[1]) for row in tables(view)["The tokens"][1:]]
    return shown


@pytest.mark.parametrize("text", ["the other cat", "春眠不觉晓", "cat 🙂\n\n", " ", "e\u0301", "<script>", "\ud800"])
def test_the_last_step_s_ids_are_encode_s(text):
    assert ids(views.bpe(SMALL, text)) == SMALL.encode(text)


@given(st.text(min_size=1, max_size=24))
@settings(max_examples=60, deadline=None)
def test_the_last_step_s_ids_are_encode_s_for_any_text(text):
    assert ids(views.bpe(SMALL, text)) == SMALL.encode(text)


def test_the_merges_of_a_word_in_the_order_of_their_ranks():
    """Sennrich et al. 2016, section 3.2: "es" is learnt first, then "est"; both serve "lowest", never seen before."""
    tokenizer = BPETokenizer.train(
        ["low " * 5 + "lower " * 2 + "newest " * 6 + "widest " * 3], 256 + 2, special_tokens=[]
    )
    view = views.bpe(tokenizer, "lowest")
    merges = tables(view)["The merges, in order"][1:]
    assert merges == [["1", "e", "s", "0", "es", "256"], ["2", "es", "t", "1", "est", "257"]]
    assert [step.title for step in view.steps] == ["The bytes", "e + s → es", "es + t → est", "The ids"]
    assert "<strong>0</strong>" in view.steps[1].text


def test_within_a_chunk_the_smallest_rank_goes_first():
    for chunk in (" other", "The", "春眠不觉晓"):
        merges = tables(views.bpe(SMALL, chunk))["The merges, in order"][1:]
        pieces = [bytes([byte]) for byte in chunk.encode()]
        by_bytes = {(SMALL.token_bytes(a), SMALL.token_bytes(b)): rank for (a, b), (rank, _) in SMALL.merges.items()}
        for row in merges:
            ranks = [by_bytes.get(pair, 1 << 30) for pair in zip(pieces, pieces[1:], strict=False)]
            assert int(row[3]) == min(ranks)
            i = ranks.index(min(ranks))
            pieces[i : i + 2] = [pieces[i] + pieces[i + 1]]


def test_bytes_that_are_no_character_are_hexadecimal_and_spaces_visible():
    view = views.bpe(BPETokenizer.train([""], 257), " 你")
    assert [piece.strip() for piece in Page(view.steps[0].body).texts["span"][1:]] == ["␣", "⟨E4⟩", "⟨BD⟩", "⟨A0⟩"]
    assert "“␣你”" in repr(view)


def test_a_chunk_that_is_a_token_though_no_merges_lead_to_it():
    ranks = {bytes([i]): i for i in range(256)} | {b"ab": 256, b"abcd": 257}
    tokenizer = BPETokenizer.from_ranks(ranks)
    view = views.bpe(tokenizer, "abcd")
    assert ids(view) == tokenizer.encode("abcd") == [257]
    assert [row[1] for row in tables(view)["The merges, in order"][1:]] == ["a", "the whole chunk"]


def test_what_cannot_be_shown_is_refused():
    with pytest.raises(TokenError, match="the text is empty"):
        views.bpe(SMALL, "")
    with pytest.raises(TokenError, match="up to 160 bytes; this one has 162"):
        views.bpe(SMALL, "春" * 54)
    with pytest.raises(TokenError, match="this is a CharTokenizer"):
        views.bpe(CharTokenizer.train(["ab"]), "ab")
