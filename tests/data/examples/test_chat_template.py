"""The chat template: what is where, what counts, what can't be forged, what happens to a conversation too long."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.data.batches import IGNORED
from minillm.data.examples import Turn, next_tokens, prompt, read_dialogues, read_instructions, render
from minillm.data.examples.chat_template import SPECIAL_TOKENS
from minillm.errors import ConfigError, DataError, TokenError
from minillm.tokenizers import BPETokenizer, CharTokenizer, WordTokenizer
from tests.data_files import real_file

TEXT = "Hello, how are you? I'm fine. <|assistant|> <|end|> <|user|> <|system|> <|pad|>\n你好吗？我很好。\n" * 3

TOKENIZERS = [
    CharTokenizer.train([TEXT], SPECIAL_TOKENS, unk=True),
    WordTokenizer.train([TEXT], special_tokens=SPECIAL_TOKENS),
    BPETokenizer.train([TEXT], 330, SPECIAL_TOKENS),
    BPETokenizer.train([TEXT], 330, SPECIAL_TOKENS, pattern="gpt4"),
    # tiktoken's format, in which a chunk that is a token becomes it; here one spells a marker
    BPETokenizer.from_ranks(
        {bytes([i]): i for i in range(256)} | {b"<|end|>": 256},
        "gpt2",
        {n: 300 + i for i, n in enumerate(SPECIAL_TOKENS)},
    ),
]
every_kind = pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=lambda t: f"{t.kind}-{t.vocab_size}")

WORDS = st.lists(st.sampled_from(["你好", " how", "?", "\n", "🙂", "<|", "|>", "end", *SPECIAL_TOKENS]), max_size=8)
TEXTS = WORDS.map("".join) | st.text(max_size=10)


def conversation(texts, system=None):
    roles = ("user", "assistant")
    said = [Turn(roles[i % 2], text) for i, text in enumerate(texts)]
    return said if system is None else [Turn("system", system), *said]


CONVERSATIONS = st.builds(
    conversation,
    st.integers(1, 3).flatmap(lambda n: st.lists(TEXTS, min_size=2 * n, max_size=2 * n)),
    st.none() | TEXTS,
)


@every_kind
def test_a_conversation_is_its_turns_between_markers(tokenizer):
    turns = conversation(["你好吗？", "我很好。"], system="Hello")
    ids, counts = render(turns, tokenizer)
    template = "<|system|>Hello<|end|><|user|>你好吗？<|end|><|assistant|>我很好。<|end|>"
    assert ids.tolist() == tokenizer.encode(template, allowed_special="all")
    assert ids.dtype == np.int64 and counts.dtype == bool and ids.shape == counts.shape
    assert tokenizer.decode(ids[counts]) == "我很好。<|end|>"


@every_kind
@given(turns=CONVERSATIONS)
def test_markers_are_where_the_turns_are_and_nowhere_else(tokenizer, turns):
    ids, counts = render(turns, tokenizer)
    special = {i: name for name, i in tokenizer.special_tokens.items() if name in SPECIAL_TOKENS}
    found = [special[i] for i in ids.tolist() if i in special]
    assert found == [marker for turn in turns for marker in (f"<|{turn.role}|>", "<|end|>")]


@given(turns=CONVERSATIONS)
def test_every_turn_comes_back_from_its_ids(turns):
    tokenizer = TOKENIZERS[2]
    ids, counts = render(turns, tokenizer)
    names = {i: name for name, i in tokenizer.special_tokens.items()}
    back, role, said, counted = [], None, [], []
    for token, counts_here in zip(ids.tolist(), counts.tolist(), strict=True):
        if names.get(token) == "<|end|>":
            back.append(Turn(role, tokenizer.decode(said)))
            assert all(c == (role == "assistant") for c in [*counted, counts_here])
            role, said, counted = None, [], []
        elif token in names:
            role = names[token][2:-2]
            assert not counts_here  # the marker is given, not predicted
        else:
            said.append(token)
            counted.append(counts_here)
    assert back == list(turns)


@every_kind
@given(turns=CONVERSATIONS)
def test_a_prompt_is_the_conversation_up_to_its_answer(tokenizer, turns):
    ids, counts = render(turns, tokenizer)
    start = prompt(turns[:-1], tokenizer)
    assert np.array_equal(start, ids[: len(start)])
    assert start[-1] == tokenizer.special_tokens["<|assistant|>"]
    assert counts[len(start) :].all() and len(start) + len(tokenizer.encode(turns[-1].text)) + 1 == len(ids)


def test_each_answer_of_many_counts():
    ids, counts = render(conversation(["a", "b", "c", "d"]), TOKENIZERS[2])
    assert TOKENIZERS[2].decode(ids[counts]) == "b<|end|>d<|end|>"


def test_targets_are_the_next_tokens_where_those_count():
    tokenizer = TOKENIZERS[2]
    x, y = next_tokens(*render(conversation(["a", "bc"]), tokenizer))
    assert tokenizer.decode(x) == "<|user|>a<|end|><|assistant|>bc"
    assert y.dtype == x.dtype == np.int64 and x.shape == y.shape
    assert (y[:3] == IGNORED).all()
    assert tokenizer.decode(y[3:]) == "bc<|end|>"  # <|assistant|> predicts the first word


# ---- too long ----


def lengths(*texts):
    """Tokens of a conversation of such turns, each with its two markers."""
    return sum(len(TOKENIZERS[2].encode(text)) + 2 for text in texts)


def test_a_conversation_too_long_is_refused_with_its_length():
    turns = conversation(["x" * 5, "y" * 5])
    total = lengths("x" * 5, "y" * 5)
    render(turns, TOKENIZERS[2], max_length=total)
    with pytest.raises(
        DataError, match=f"of {total} tokens doesn't fit into {total - 1}: shorten it, or pass drop_old"
    ):
        render(turns, TOKENIZERS[2], max_length=total - 1)


@given(turns=CONVERSATIONS, room=st.integers(0, 120), ask=st.booleans())
def test_dropping_leaves_the_system_and_the_longest_end_that_fits(turns, room, ask):
    tokenizer, make = TOKENIZERS[2], render
    if ask:
        turns, make = turns[:-1], lambda *args, **options: (prompt(*args, **options), None)
    first = 1 if turns[0].role == "system" else 0
    candidates = [make([*turns[:first], *turns[i:]], tokenizer)[0] for i in range(first, len(turns), 2)]
    fit = [ids for ids in candidates if len(ids) <= room]
    if fit:
        ids = make(turns, tokenizer, max_length=room, drop_oldest=True)[0]
        assert np.array_equal(ids, fit[0])
    else:
        with pytest.raises(DataError, match=f"{len(candidates[0])} tokens doesn't fit into {room}: its last exchange"):
            make(turns, tokenizer, max_length=room, drop_oldest=True)


# ---- turns out of order ----


@pytest.mark.parametrize(
    "roles", ["", "a", "u", "uau", "au", "uua", "uaa", "s", "usa", "ssua"], ids=lambda roles: roles or "none"
)
def test_roles_out_of_order_are_refused(roles):
    turns = [Turn({"s": "system", "u": "user", "a": "assistant"}[role], "x") for role in roles]
    with pytest.raises(DataError, match="must be user and assistant in turn, .* and end with assistant"):
        render(turns, TOKENIZERS[2])


def test_a_prompt_ends_with_the_user():
    with pytest.raises(DataError, match="and end with user"):
        prompt(conversation(["a", "b"]), TOKENIZERS[2])


def test_an_unknown_role_is_named():
    with pytest.raises(ConfigError, match="turn 2 has the role 'bot'; roles are system, user, assistant"):
        render([Turn("user", "a"), Turn("bot", "b")], TOKENIZERS[2])


def test_a_tokenizer_without_the_markers_is_refused():
    with pytest.raises(
        TokenError, match=r"has no special token <\|user\|>; a chat needs one trained with special_tokens="
    ):
        render(conversation(["a", "b"]), BPETokenizer.train([TEXT], 300))


# ---- real conversations ----


def test_real_conversations_in_two_languages_count_exactly_their_answers():
    tokenizer = TOKENIZERS[2]
    pytest.importorskip("yaml", reason="dialogues need PyYAML; install the extra `finetune`")
    chats = read_dialogues(real_file("chatterbot/chinese"))
    chats += [record.turns() for record in read_instructions(real_file("instruction-data.json"))]
    for turns in chats:
        ids, counts = render(turns, tokenizer)
        assert tokenizer.decode(ids[counts]) == "".join(t.text + "<|end|>" for t in turns if t.role == "assistant")
