"""python -m minillm.tokenize, as a person would run it."""

import subprocess
import sys

import pytest

from minillm.tokenize import bordered, printable


def run(*arguments, stdin=b""):
    return subprocess.run(
        [sys.executable, "-m", "minillm.tokenize", *map(str, arguments)], input=stdin, capture_output=True
    )


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenize")
    (folder / "text.txt").write_text("the cat sat on the mat. 春眠不觉晓 the cat.\n" * 20, encoding="utf-8")
    result = run("train", "--corpus", folder / "text.txt", "--vocab-size", "280", "--out", folder / "t.json")
    assert result.returncode == 0, result.stderr.decode()
    assert b"bpe tokenizer, 280 ids" in result.stdout
    return folder / "t.json"


def test_encode_then_decode(tokenizer):
    text = "the 春 mat\n".encode()
    ids = run("encode", tokenizer, stdin=text).stdout
    assert all(word.isdigit() for word in ids.split())
    assert run("decode", tokenizer, stdin=ids).stdout == text


def test_show_puts_bars_between_tokens(tokenizer):
    shown = run("show", "the cat", "--tokenizer", tokenizer).stdout.decode()
    assert shown.splitlines()[0].replace("|", "") == "the cat"
    assert "7 characters, 7 bytes" in shown


def test_a_run_folder_stands_for_the_tokenizer_in_it(tokenizer, tmp_path):
    (tmp_path / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    expected = run("show", "the cat", "--tokenizer", tokenizer).stdout
    assert expected and run("show", "the cat", "--tokenizer", tmp_path).stdout == expected


def test_show_merges_starts_from_bytes(tokenizer):
    lines = run("show", "the", "--tokenizer", tokenizer, "--merges").stdout.decode().splitlines()
    assert lines[0].split(None, 1)[1] == "t | h | e"
    assert lines[-1].split(None, 1)[1] == "the"


def test_a_split_character_is_shown_in_hex_and_control_characters_escaped():
    assert bordered(["春".encode()[:2], "春".encode()[2:], b"\n"], colour=False) == "<e6><98>|<a5>|\\n"
    assert printable(b"\x1b[31m") == "\\x1b[31m"  # text can't drive the terminal


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (("encode", "{t}"), b"ab\xff", b"offset 2"),
        (("decode", "{t}", "12", "x"), b"", b"'x' isn't a token id"),
        (("decode", "{t}", "9999"), b"", b"token id 9999 is outside the vocabulary of 280"),
        (("encode", "nowhere.json"), b"", b"nowhere.json"),
        (("train", "--vocab-size", "5", "--out", "x.json"), b"", b"vocab_size=5"),
    ],
)
def test_errors_exit_with_2_and_no_traceback(tokenizer, arguments, stdin, message):
    result = run(*[a.format(t=tokenizer) for a in arguments], stdin=stdin)
    assert result.returncode == 2
    assert message in result.stderr
    assert b"Traceback" not in result.stderr
