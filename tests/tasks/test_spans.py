"""Characters to tokens and back, in several scripts and with several tokenizers; and windows over long texts."""

import numpy as np
import pytest

from minillm.tasks.spans import pieces, windows
from minillm.tokenizers import BPETokenizer, CharTokenizer, Tokenizer, WordPieceTokenizer

TEXT = "Zoë's café opened\nin 1990, 北京很好！ 😀 e\u0301te\u0301; О́льга paid $3.50\u2028 to İpek."
WORDPIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz0123456789,.;'$北京很好!"]
TOKENIZERS: dict[str, Tokenizer] = {
    "byte pairs": BPETokenizer.train([TEXT] * 3, 300),
    "characters": CharTokenizer.train([TEXT]),
    "WordPiece": WordPieceTokenizer([*WORDPIECES, *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz0123456789")]),
}


@pytest.mark.parametrize("name", TOKENIZERS)
def test_every_piece_of_the_text_comes_back_from_its_tokens(name):
    found = pieces(TOKENIZERS[name], TEXT)
    assert len(found.ids) == len(found.places)
    for answer in ("Zoë", "café opened", "1990", "北京", "很", "好！", "😀", "$3.50", "İpek", "О́льга paid"):
        start = TEXT.index(answer)
        tokens = found.tokens(start, start + len(answer))
        assert tokens is not None
        begin, end = found.characters(*tokens)
        assert TEXT[begin:end] == answer


def test_an_answer_inside_a_word_is_widened_to_it_and_white_space_has_no_tokens():
    found = pieces(TOKENIZERS["WordPiece"], "in the 1990s")
    assert found.characters(*found.tokens(7, 11)) == (7, 12)  # 1990 of 1990s
    assert found.tokens(2, 3) is None


@pytest.mark.parametrize("name", ["byte pairs", "characters"])
def test_the_ids_are_those_of_the_text_itself(name):
    text = "Zoë paid 北京 café."
    tokenizer = TOKENIZERS[name]
    assert tokenizer.decode(pieces(tokenizer, text).ids) == text


def test_windows_cover_every_token_and_have_the_size_asked_for():
    for length in range(1, 30):
        for size in range(1, 12):
            for stride in range(1, size + 1):
                found = windows(length, size, stride)
                assert {i for part in found for i in part} == set(range(length))
                assert all(len(part) == min(size, length) for part in found)
                starts = np.array([part.start for part in found])
                assert (np.diff(starts) > 0).all() and (np.diff(starts)[:-1] == stride).all()
