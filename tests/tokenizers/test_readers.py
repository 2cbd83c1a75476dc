"""GPT-2's and tiktoken's files when they are wrong: the message names the file and the fault."""

import base64
import json

import pytest

from minillm.errors import TokenError
from minillm.tokenizers import BPETokenizer
from minillm.tokenizers.readers import byte_of_character

BYTES = {bytes([i]): i for i in range(256)}
WRITTEN = {character: i for i, character in enumerate(byte_of_character())}


@pytest.mark.parametrize(
    ("encoder", "merges", "message"),
    [
        (b"{", b"", r"encoder\.json isn't valid JSON"),
        (b"[]", b"", r"encoder\.json must map tokens to ids"),
        (b'{"a": 0}', b"", r"encoder\.json: the vocabulary has 1 of the 256 single bytes"),
        (b'{"a": "x"}', b"", "token ids must be whole numbers"),
        (b'{"a": {}, "b": []}', b"", "token ids must be whole numbers"),
        (None, b"#version: 0.2\na b\n", r"vocab\.bpe: a token or a merge that doesn't fit the vocabulary: 'ab'"),
        (None, b"#version: 0.2\na b c\n", r"vocab\.bpe: a token or a merge that doesn't fit"),
        (None, b"#version: 0.2\n\xff\n", r"vocab\.bpe isn't UTF-8: byte 0xff at offset 14"),
    ],
)
def test_damaged_gpt2_files(tmp_path, encoder, merges, message):
    (tmp_path / "encoder.json").write_bytes(encoder or json.dumps(WRITTEN).encode())
    (tmp_path / "vocab.bpe").write_bytes(merges)
    with pytest.raises(TokenError, match=message):
        BPETokenizer.from_gpt2(tmp_path / "encoder.json", tmp_path / "vocab.bpe")


@pytest.mark.parametrize(
    ("ranks", "message"),
    [
        ({b"a": 0}, "1 of the 256 single bytes"),
        ({"a": 0}, "ranks map bytes to whole numbers, not 'a' to 0"),
        ({**BYTES, b"ab": 2.5}, r"not b'ab' to 2\.5"),
        ({**BYTES, b"ab": 5}, "two tokens have the same rank"),
        ({**BYTES, b"ab": -1}, "ids from 0 to"),
        ({**BYTES, b"ab": 10**30}, "ids from 0 to"),
        ({**BYTES, b"": 256}, "tokens must have bytes"),
    ],
)
def test_ranks_that_can_t_be(ranks, message):
    with pytest.raises(TokenError, match=message):
        BPETokenizer.from_ranks(ranks)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"YQ== 0\nnot base64 at all\n", r"line 2: expected a token in base64 and its rank"),
        (b"YQ== 0 1\n", "line 1: expected"),
        (b"\xff", r"isn't UTF-8: byte 0xff at offset 0"),
        (b"YQ== 0\n", "1 of the 256 single bytes"),
    ],
)
def test_damaged_rank_files(tmp_path, content, message):
    (tmp_path / "bad.tiktoken").write_bytes(content)
    with pytest.raises(TokenError, match=message) as raised:
        BPETokenizer.from_ranks(tmp_path / "bad.tiktoken")
    assert "bad.tiktoken" in str(raised.value)


def test_a_special_token_with_the_id_of_another(tmp_path):
    file = tmp_path / "bytes.tiktoken"
    file.write_text("\n".join(f"{base64.b64encode(b).decode()} {i}" for b, i in BYTES.items()), encoding="utf-8")
    with pytest.raises(TokenError, match=r"bytes\.tiktoken: a special token has the id of another token"):
        BPETokenizer.from_ranks(file, special_tokens={"<|x|>": 65})


def test_ids_that_no_token_has():
    """Special tokens may leave a gap (GPT-4's do): a model gets room for it, decoding says what it is."""
    tokenizer = BPETokenizer.from_ranks(BYTES, special_tokens={"<|x|>": 300})
    assert tokenizer.vocab_size == 301
    with pytest.raises(TokenError, match="token id 299 is one this vocabulary leaves out"):
        tokenizer.decode([299])


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.tiktoken"):
        BPETokenizer.from_ranks(tmp_path / "nowhere.tiktoken")
