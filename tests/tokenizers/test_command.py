"""python -m minillm.tokenize: where text and ids come from, how tokens are shown, what is refused."""

import io
import sys

import pytest

from minillm import tokenize
from minillm.errors import UserError
from minillm.tokenizers import BPETokenizer, load_tokenizer
from tests.tokenizers.conftest import CHINESE, TEXT


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Runs the command in a folder with t.json and text.txt; returns what it prints."""
    monkeypatch.chdir(tmp_path)
    BPETokenizer.train([TEXT], 300).save("t.json")
    (tmp_path / "text.txt").write_bytes(TEXT.encode())

    def run(*arguments, stdin=b""):
        monkeypatch.setattr(sys, "argv", ["tokenize", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="ascii"))
        tokenize.main()
        return capsys.readouterr().out

    return run


def test_files_in_and_out(command, tmp_path):
    (tmp_path / "ids.txt").write_text(command("encode", "t.json", "--file", "text.txt"), encoding="utf-8")
    assert command("decode", "t.json", "--file", "ids.txt") == TEXT


def test_standard_input_is_utf_8_whatever_the_locale(command):
    ids = command("encode", "t.json", stdin=CHINESE.encode())
    assert command("decode", "t.json", stdin=ids.encode()) == CHINESE


def test_train_reads_a_glob_and_writes_each_kind(command):
    for kind in ("bpe", "word", "char"):
        command("train", "--corpus", "*.txt", "--kind", kind, "--vocab-size", "300", "--out", f"{kind}.json")
        assert load_tokenizer(f"{kind}.json").kind == kind


def test_unknown_characters_on_request(command):
    command("train", "--corpus", "text.txt", "--kind", "char", "--unk", "--out", "char.json")
    assert command("decode", "char.json", *command("encode", "char.json", "a猫").split()) == "a<unk>"


def test_show_begins_a_line_where_the_text_does(command):
    shown = command("show", "--tokenizer", "t.json", "the\nmat")
    assert shown.splitlines()[0].endswith("\\n|")
    assert shown.splitlines()[1].replace("|", "") == "mat"
    assert "tokens, 7 characters, 7 bytes: " in shown.splitlines()[2]


def test_colours_alternate_and_end():
    painted = tokenize.bordered([b"a", b"b\n", b"c"], colour=True)
    assert painted == "\x1b[30;44ma\x1b[0m\x1b[30;45mb\\n\x1b[0m\n\x1b[30;46mc\x1b[0m"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["decode", "t.json", "²"], "'²' isn't a token id"),
        (["decode", "t.json", "1.5"], r"'1\.5' isn't a token id"),
        (["encode", "t.json", "a", "--file", "text.txt"], "not both"),
        (["encode", "t.json", "--file", "bad.txt"], r"bad\.txt isn't UTF-8: byte 0xff at offset 3"),
        (["train", "--corpus", "bad.txt", "--out", "x.json"], r"bad\.txt isn't UTF-8: byte 0xff at offset 3"),
        (["train", "--corpus", "text.txt", "--special", "<a>", "<a>", "--out", "x.json"], "given twice"),
        (["show", "--merges", "--tokenizer", "char.json", "a"], "--merges shows how BPE works"),
    ],
)
def test_wrong_input(command, tmp_path, arguments, message):
    (tmp_path / "bad.txt").write_bytes(b"abc\xff")
    command("train", "--corpus", "text.txt", "--kind", "char", "--out", "char.json")
    with pytest.raises(UserError, match=message):
        command(*arguments)
    assert not (tmp_path / "x.json").exists()


def test_an_argument_that_is_no_utf_8_is_shown(command):
    """Such bytes reach Python as lone surrogates."""
    assert command("show", "--tokenizer", "t.json", "\udcff").startswith("<ef>|<bf>|<bd>\n")
    assert "<ef> | <bf> | <bd>" in command("show", "--merges", "--tokenizer", "t.json", "\udcff")
