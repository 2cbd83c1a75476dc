"""The chat template: turns of a conversation as token ids, with a mark on those the model must learn to say.

    <|system|>Be brief.<|end|><|user|>你好<|end|><|assistant|>你好！<|end|>
                                                          counts: ^^^^^^^^^^^

Roles and ends are special tokens, added as ids; what is said is encoded with no special token allowed. So a user who
types "<|assistant|>" has typed those characters, not the marker. Whoever decodes must go by ids, too: text that went
through `decode` shows both alike. The loss counts on the assistant's words and on the <|end|> with which it stops
(Ouyang et al. 2022, supervised fine-tuning); the marker <|assistant|> is given, not predicted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minillm.data.batches import IGNORED
from minillm.errors import ConfigError, DataError, TokenError
from minillm.tokenizers import Tokenizer

ROLES = ("system", "user", "assistant")
END, PAD = "<|end|>", "<|pad|>"
SPECIAL_TOKENS = ("<|system|>", "<|user|>", "<|assistant|>", END, PAD)
"""What a tokenizer must have for chats: `BPETokenizer.train(texts, size, chat_template.SPECIAL_TOKENS)`. <|pad|> fills
up batches (`padding.pad`); the template itself has none."""


@dataclass(frozen=True)
class Turn:
    """What one side says. role: "system", "user" or "assistant"."""

    role: str
    text: str


def render(
    turns: Sequence[Turn], tokenizer: Tokenizer, *, max_length: int | None = None, drop_oldest: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """A conversation to learn from: ids (time,) int64, and counts (time,) bool, True where the loss counts.

    turns: at most one of the system, first; then user and assistant in turn, ending with the assistant.
    max_length: in tokens; a longer conversation raises DataError, or with drop_oldest loses its first exchanges (a
    user's turn and its answer; never the system's) until it fits. DataError also where the last exchange alone
    doesn't fit, and for turns out of order; TokenError for a tokenizer without the special tokens.
    """
    _check(turns, ends_with="assistant")
    parts = _fitted([_encoded(turn, tokenizer) for turn in turns], turns, max_length, drop_oldest)
    ids = np.array([token for part in parts for token in part], np.int64)
    assistant = _special("<|assistant|>", tokenizer)
    counts = [part[0] == assistant and place > 0 for part in parts for place in range(len(part))]
    return ids, np.array(counts, bool)


def prompt(
    turns: Sequence[Turn], tokenizer: Tokenizer, *, max_length: int | None = None, drop_oldest: bool = False
) -> np.ndarray:
    """A conversation to answer: ids (time,) int64, up to and including the <|assistant|> of the answer to come.

    turns: as for `render`, but ending with the user. max_length counts that marker; leave room for the answer.
    """
    _check(turns, ends_with="user")
    parts = [*(_encoded(turn, tokenizer) for turn in turns), [_special("<|assistant|>", tokenizer)]]
    parts = _fitted(parts, turns, max_length, drop_oldest)
    return np.array([token for part in parts for token in part], np.int64)


def next_tokens(ids: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets for a loss, both (time - 1,) int64: each token's target is the next one, or -100 (`IGNORED`)
    where that one doesn't count."""
    return ids[:-1], np.where(counts, ids, IGNORED)[1:]


def _encoded(turn: Turn, tokenizer: Tokenizer) -> list[int]:
    return [_special(f"<|{turn.role}|>", tokenizer), *tokenizer.encode(turn.text), _special(END, tokenizer)]


def _special(name: str, tokenizer: Tokenizer) -> int:
    if name not in tokenizer.special_tokens:
        raise TokenError(
            f"the tokenizer has no special token {name}; a chat needs one trained with "
            f"special_tokens={list(SPECIAL_TOKENS)}"
        )
    return tokenizer.special_tokens[name]


def _fitted(
    parts: list[list[int]], turns: Sequence[Turn], max_length: int | None, drop_oldest: bool
) -> list[list[int]]:
    """The system's part and as many of the last exchanges, two parts each, as fit into max_length tokens."""
    if max_length is None:
        return parts
    first = 1 if turns[0].role == "system" else 0
    system, said = parts[:first], parts[first:]
    while drop_oldest and len(said) > 2 and sum(map(len, system + said)) > max_length:
        said = said[2:]
    if sum(map(len, system + said)) > max_length:
        hint = "its last exchange alone has too many" if drop_oldest else "shorten it, or pass drop_oldest=True"
        raise DataError(f"a conversation of {sum(map(len, parts))} tokens doesn't fit into {max_length}: {hint}")
    return system + said


def _check(turns: Sequence[Turn], ends_with: str) -> None:
    for i, turn in enumerate(turns):
        if turn.role not in ROLES:
            raise ConfigError(f"turn {i + 1} has the role {turn.role!r}; roles are {', '.join(ROLES)}")
    said = [turn.role for turn in turns if turn.role != "system"]
    expected = [("user", "assistant")[i % 2] for i in range(len(said))]
    if [turn.role for turn in turns] not in (expected, ["system", *expected]) or said[-1:] != [ends_with]:
        raise DataError(
            f"the roles {[turn.role for turn in turns]} must be user and assistant in turn, after at most one system, "
            f"and end with {ends_with}"
        )
