"""Masked language modelling: which tokens are hidden, and what stands in their place.  [3.2.2-mlm]

Of 15 % of the tokens, 80 % become [MASK], 10 % a random token and 10 % stay as they are; all of them are predicted
(Devlin et al. 2019, section 3.1). The last two keep the model from learning only about inputs with [MASK] in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minillm.data.batches import IGNORED
from minillm.errors import ConfigError, TokenError
from minillm.tokenizers import Tokenizer, WordPieceTokenizer
from minillm.tokenizers.basic_words import is_ideograph

MASKED, RANDOM = 0.8, 0.1  # of the chosen tokens; the rest stay


@dataclass(frozen=True)
class Maskable:
    """What masking must know of a vocabulary: a boolean for each id, (vocab_size,).

    A token continues the word before it if it is always `inside` one, or may go on (`goes_on`) after a token that
    leaves a word open (`leaves_open`).
    """

    mask_id: int
    ordinary: np.ndarray
    """Neither special nor left out of the vocabulary: these are chosen, and drawn as random tokens."""
    inside: np.ndarray
    goes_on: np.ndarray
    leaves_open: np.ndarray

    @classmethod
    def of(cls, tokenizer: Tokenizer, mask_token: str = "[MASK]") -> Maskable:
        """The facts of a tokenizer. ConfigError if it has no such special token.

        With WordPiece the pieces "##..." continue a word. With bytes, a token that begins inside a character does, and
        one that begins with a letter or digit where the token before ends with one: "walk" + "ing", but "walk" +
        " ing" or "walk" + "!" are two. A Chinese character is a word; a letter whose bytes are cut apart ends one.
        """
        if mask_token not in tokenizer.special_tokens:
            raise ConfigError(
                f"the tokenizer has no special token {mask_token!r}, but {sorted(tokenizer.special_tokens) or 'none'}; "
                "make it with one, or name it as mask_token"
            )
        tokens = [_bytes(tokenizer, i) for i in range(tokenizer.vocab_size)]
        ordinary = np.array([token != b"" for token in tokens])
        ordinary[list(tokenizer.special_tokens.values())] = False
        if isinstance(tokenizer, WordPieceTokenizer):
            inside = np.array([tokenizer.is_continuation(i) for i in range(tokenizer.vocab_size)])
            goes_on = leaves_open = np.zeros_like(inside)
        else:
            inside = np.array([b"\x80" <= token[:1] < b"\xc0" for token in tokens])
            goes_on = np.array([_is_of_word(token, 0) for token in tokens]) & ordinary
            leaves_open = np.array([_is_of_word(token, -1) for token in tokens]) & ordinary
        return cls(tokenizer.special_tokens[mask_token], ordinary, inside, goes_on, leaves_open)

    def word_starts(self, ids: np.ndarray) -> np.ndarray:
        """Where in (..., time) ids a word begins, or something that is none; booleans of their shape."""
        before = np.concatenate([np.zeros_like(ids[..., :1], bool), self.leaves_open[ids[..., :-1]]], axis=-1)
        starts = ~(self.inside[ids] | (self.goes_on[ids] & before))
        starts[..., :1] = True
        return starts


def mask_tokens(
    ids: Any, rng: np.random.Generator, vocabulary: Maskable, probability: float = 0.15, whole_words: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Inputs with some tokens masked, and targets: the token at each chosen position, -100 elsewhere. Both int64.

    ids: (..., time). Each ordinary token is chosen with `probability`, special ones (so padding, too) never.
    whole_words: choose words, each with all its tokens (Cui et al. 2021, section 3.1); what replaces a token is drawn
    for each alone.
    """
    ids = np.asarray(ids)
    if not 0 < probability <= 1:
        raise ConfigError(f"probability={probability} must be above 0 and at most 1")
    if ids.dtype.kind not in "iu" or (ids.size and not 0 <= ids.min() <= ids.max() < len(vocabulary.ordinary)):
        raise TokenError(f"ids must be whole numbers from 0 to {len(vocabulary.ordinary) - 1}, as the tokenizer's are")
    draws = rng.random(ids.shape)
    if whole_words:  # the draw of a word's first token is that of the word
        places = np.where(vocabulary.word_starts(ids), np.arange(ids.shape[-1]), 0)
        draws = np.take_along_axis(draws, np.maximum.accumulate(places, axis=-1), axis=-1)
    chosen = (draws < probability) & vocabulary.ordinary[ids]
    fate = rng.random(ids.shape)
    others = rng.choice(np.flatnonzero(vocabulary.ordinary), ids.shape)
    replaced = np.where(fate < MASKED, vocabulary.mask_id, np.where(fate < MASKED + RANDOM, others, ids))
    return np.where(chosen, replaced, ids).astype(np.int64), np.where(chosen, ids, IGNORED).astype(np.int64)


def _bytes(tokenizer: Tokenizer, token: int) -> bytes:
    """The bytes of a token; none for an id that the vocabulary leaves out."""
    try:
        return tokenizer.token_bytes(token)
    except TokenError:
        return b""


def _is_of_word(token: bytes, end: int) -> bool:
    """Whether the character at an end (0 or -1) of a token is a letter or digit of a script that writes words."""
    text = token.decode("utf-8", "replace")
    character = text[end] if text else " "
    if character != "\ufffd":
        return character.isalnum() and not is_ideograph(character)
    return end == 0 and 0xC0 <= token[0] < 0xE0  # half a character: two bytes are letters, three mostly Chinese
