"""The one JSON file of a tokenizer: saved whole or not at all, loaded only if it is exactly what saving writes."""

import contextlib
import errno
import json
import os
import random

import pytest

from minillm.errors import TokenError
from minillm.tokenizers import BPETokenizer, CharTokenizer, WordTokenizer, load_tokenizer
from tests.tokenizers.conftest import END, TEXT


def test_saved_and_loaded(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "t.json")
    loaded = load_tokenizer(tmp_path / "t.json")
    assert type(loaded) is type(tokenizer)
    assert loaded.fingerprint() == tokenizer.fingerprint()
    assert loaded.encode(TEXT + END, "all") == tokenizer.encode(TEXT + END, "all")
    assert [p.name for p in tmp_path.iterdir()] == ["t.json"]


def test_saving_twice_gives_the_same_bytes(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "1.json")
    load_tokenizer(tmp_path / "1.json").save(tmp_path / "2.json")
    assert (tmp_path / "1.json").read_bytes() == (tmp_path / "2.json").read_bytes()


def test_the_fingerprint_tells_vocabularies_apart():
    made = [CharTokenizer("ab"), CharTokenizer("ac"), CharTokenizer("ab", [END]), WordTokenizer("ab")]
    made += [BPETokenizer.train([TEXT], 300), BPETokenizer.train([TEXT], 300, pattern="gpt4")]
    assert len({tokenizer.fingerprint() for tokenizer in made}) == len(made)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, call):
    CharTokenizer("ab").save(tmp_path / "t.json")

    def full(*_):
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="no space left"):
        CharTokenizer("abc").save(tmp_path / "t.json")
    assert load_tokenizer(tmp_path / "t.json").vocab_size == 2
    assert [p.name for p in tmp_path.iterdir()] == ["t.json"]


def test_loading_as_another_kind_is_refused(tmp_path):
    CharTokenizer("ab").save(tmp_path / "t.json")
    with pytest.raises(TokenError, match="'char' tokenizer, not one for BPETokenizer"):
        BPETokenizer.load(tmp_path / "t.json")


HEAD = '{"format": "minillm-tokenizer", "version": 1, '


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"format": "minillm-tokenizer"}', HEAD + '"kind": "x"}', HEAD + '"kind": "bpe"}',
     HEAD + '"kind": []}', "[" * 100_000, "9" * 10_000, "\x00\xff"],
)  # fmt: skip
def test_files_that_are_no_tokenizer(tmp_path, content):
    file = tmp_path / "t.json"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(TokenError, match=r"t\.json"):
        load_tokenizer(file)


@pytest.mark.parametrize(
    "fields",
    [
        '"kind": "char", "characters": "ba", "special_tokens": {}',  # ids are code-point order
        '"kind": "char", "characters": "aab", "special_tokens": {}',
        '"kind": "char", "characters": "ab", "special_tokens": {"x": 2, "y": 2}',
        '"kind": "char", "characters": "ab", "special_tokens": {"x": 7}',
        '"kind": "char", "characters": "ab", "special_tokens": {"x": 2.0}',
        '"kind": "char", "characters": "a\\ud800", "special_tokens": {}',
        '"kind": "char", "characters": "ab", "special_tokens": {}, "more": 1',
        '"kind": "word", "words": ["a", "a"], "special_tokens": {}',
        '"kind": "word", "words": ["<unk>"], "special_tokens": {}',
        '"kind": "word", "words": ["two words"], "special_tokens": {}',
        '"kind": "word", "words": ["a"], "special_tokens": {"<unk>": 2}',
    ],
)
def test_files_that_contradict_themselves(tmp_path, fields):
    (tmp_path / "t.json").write_text(HEAD + fields + "}", encoding="utf-8")
    with pytest.raises(TokenError, match=r"t\.json is a damaged tokenizer file"):
        load_tokenizer(tmp_path / "t.json")


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state["vocabulary"].pop("65"),
        lambda state: state["vocabulary"].update({"65": "zz"}),
        lambda state: state["vocabulary"].update({str(10**9): "4142"}),
        lambda state: state["vocabulary"].update({"-1": "4142"}),
        lambda state: state["merges"].append([65, 66, 99, 300]),
        lambda state: state["merges"].append([65, 66, 99, 65]),
        lambda state: state["merges"][0].__setitem__(2, -1),
        lambda state: state["merges"][0].__setitem__(2, 0.5),
        lambda state: state["merges"][0].pop(),
        lambda state: state["special_tokens"].update({"x": 65}),
        lambda state: state["special_tokens"].update({"x": 10**12}),
        lambda state: state.update(pattern="("),
        lambda state: state.update(pattern=["gpt2"]),
        lambda state: state.update(whole_chunks="yes"),
    ],
)
def test_bpe_files_that_contradict_themselves(tmp_path, change):
    state = json.loads(BPETokenizer.train([TEXT], 300)._json())
    change(state)
    (tmp_path / "t.json").write_text(json.dumps(state), encoding="utf-8")
    with pytest.raises(TokenError, match=r"t\.json is a damaged tokenizer file"):
        load_tokenizer(tmp_path / "t.json")


def places(value, path=()):
    """The paths of all values in a JSON document."""
    yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in inside:
        yield from places(child, (*path, key))


JUNK = [
    None,
    True,
    -1,
    0,
    1e9,
    10**30,
    "",
    "x",
    "\ud800",
    [],
    {},
    [[1]],
    {"a": 1},
    [1, 2, 3],
    [[0, 0, 0, 0]],
    {"1": "zz"},
]


def test_values_replaced_at_random(tokenizer, tmp_path):
    """Either still the same vocabulary, or a TokenError; never another exception, nor a tokenizer that then fails."""
    rng = random.Random(0)
    original = json.loads(tokenizer._json())
    paths = [path for path in places(original) if path]
    for _ in range(300):
        state = json.loads(json.dumps(original))
        path = rng.choice([rng.choice(paths), (rng.choice(list(state)),)])
        target = state
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = rng.choice(JUNK)
        (tmp_path / "t.json").write_text(json.dumps(state), encoding="utf-8")
        with contextlib.suppress(TokenError):
            loaded = load_tokenizer(tmp_path / "t.json")
            assert loaded.decode(range(3)).encode() is not None
            assert loaded.vocab_size < 1 << 24


def test_bytes_flipped_at_random(tokenizer, tmp_path):
    rng = random.Random(1)
    original = tokenizer._json().encode()
    for _ in range(300):
        data = bytearray(original)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        (tmp_path / "t.json").write_bytes(data)
        with contextlib.suppress(TokenError):
            load_tokenizer(tmp_path / "t.json").decode(range(3))


def test_a_file_cut_anywhere(tokenizer, tmp_path):
    content = tokenizer._json().encode()
    for end in random.Random(2).sample(range(len(content)), 60):
        (tmp_path / "t.json").write_bytes(content[:end])
        with pytest.raises(TokenError, match=r"t\.json isn't a tokenizer file"):
            load_tokenizer(tmp_path / "t.json")
