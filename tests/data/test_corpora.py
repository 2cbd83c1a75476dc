"""The registered corpora: the standard library's English, and Shakespeare by checked download."""

import hashlib
import inspect
import io
import os
import statistics
import subprocess
import sys
import textwrap
import urllib.error

import pytest

from minillm.data import corpora, python_docs, shakespeare
from minillm.errors import DataError
from tests.data_files import REPOSITORY, real_file


def test_python_docs_are_a_megabyte_of_english():
    text = "".join(corpora.load("python-docs").documents())
    assert 800_000 < len(text.encode()) < 4_000_000
    words = text.lower().split()
    # Shares in edited English prose: "the" some 5-7 %, the five commonest words some 15-20 %.
    assert 0.04 < words.count("the") / len(words) < 0.09
    assert sum(words.count(w) for w in ("the", "of", "to", "a", "is")) / len(words) > 0.13


def test_python_docs_hold_each_paragraph_once():
    paragraphs = "".join(python_docs.documents()).strip().split("\n\n")
    assert len(paragraphs) == len(set(paragraphs)) > 5000


def test_python_docs_hold_topics_and_docstrings():
    text = "".join(python_docs.documents())
    assert "is used for conditional execution" in text  # help("if")
    assert inspect.getdoc(textwrap.dedent).split("\n\n")[0] in text
    assert inspect.getdoc(statistics.NormalDist.overlap).split("\n\n")[0] in text


def python(script, **environment):
    """What a script prints in a process of its own."""
    command = [sys.executable, "-c", script]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=REPOSITORY, env=os.environ | environment
    ).stdout.strip()


def test_python_docs_import_nothing_and_are_the_same_in_every_process():
    script = """
import hashlib, sys
from minillm.data import python_docs
text = "".join(python_docs.documents())
imported = [m for m in ("tkinter", "turtle", "this", "pydoc_data") if m in sys.modules]
print(hashlib.sha256(text.encode()).hexdigest(), imported)
"""
    digest = hashlib.sha256("".join(python_docs.documents()).encode()).hexdigest()
    assert python(script, PYTHONHASHSEED="7") == f"{digest} []"


@pytest.mark.parametrize(
    ("paragraph", "english"),
    [
        ("Return the name of the file, or None if it can't be found in the path.", True),
        (">>> the value of the thing is in the box and it is not for you", False),
        ("if_stmt ::= the suite of the expression or the other and so on to the end", False),
        ("x = foo(bar, baz)\nreturn qux[0] + spam(eggs)", False),
        ("ABC DEF GHI JKL MNO PQR", False),
        ("Too short.", False),
    ],
)
def test_english_is_told_from_code(paragraph, english):
    assert python_docs.is_english(paragraph) is english


def test_a_file_that_does_not_parse_is_passed_over(tmp_path):
    (tmp_path / "template.py").write_text("class $name: pass")
    assert python_docs._parse(tmp_path / "template.py").body == []


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """An empty cache, no data folder, and a network that is down."""

    def down(*_args, **_kwargs):
        raise urllib.error.URLError("no route to host")

    monkeypatch.delenv("MINILLM_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / name)
    monkeypatch.setattr(shakespeare.urllib.request, "urlopen", down)
    return tmp_path


class Answer(io.BytesIO):
    def __init__(self, content: bytes, url: str = shakespeare.URL):
        super().__init__(content)
        self.url = url

    def geturl(self) -> str:
        return self.url


def serve(monkeypatch, content: bytes, url: str = shakespeare.URL):
    monkeypatch.setattr(shakespeare.urllib.request, "urlopen", lambda *_a, **_k: Answer(content, url))


def test_offline_the_error_names_the_ways_out(no_network):
    with pytest.raises(DataError, match=r"no route to host.*default corpus 'python-docs'.*MINILLM_DATA=FOLDER"):
        corpora.load("shakespeare")


def test_a_folder_without_the_file_is_named(no_network, monkeypatch):
    monkeypatch.setenv("MINILLM_DATA", str(no_network))
    with pytest.raises(DataError, match=r"\(MINILLM_DATA\) has no tinyshakespeare\.txt; can't get .*no route to host"):
        corpora.load("shakespeare")


def test_shakespeare_from_a_folder_is_checked(no_network, monkeypatch):
    monkeypatch.setenv("MINILLM_DATA", str(no_network))
    (no_network / shakespeare.FILE).write_text("To be, or not to be")
    with pytest.raises(DataError, match="isn't tiny Shakespeare: its SHA-256 is"):
        corpora.load("shakespeare")


def test_shakespeare_from_a_folder_needs_no_network(no_network, monkeypatch):
    path = real_file("tinyshakespeare.txt")
    monkeypatch.setenv("MINILLM_DATA", str(path.parent))
    assert "".join(corpora.load("shakespeare").documents()) == path.read_text(encoding="utf-8")


def test_shakespeare_is_downloaded_once(no_network, monkeypatch):
    content = real_file("tinyshakespeare.txt").read_bytes()
    serve(monkeypatch, content)
    assert shakespeare.fetch().read_bytes() == content
    serve(monkeypatch, b"never asked for again")
    assert shakespeare.fetch().read_bytes() == content


@pytest.mark.parametrize(
    ("content", "url", "message"),
    [
        (b"something else", shakespeare.URL, "SHA256|hash"),
        (b"x" * (shakespeare.MAX_BYTES + 1), shakespeare.URL, "larger than 2097152 bytes"),
        (b"fine", "http://elsewhere.example/input.txt", "isn't https"),
    ],
)
def test_a_bad_download_is_refused_and_leaves_nothing(no_network, monkeypatch, content, url, message):
    serve(monkeypatch, content, url)
    with pytest.raises(DataError, match=message):
        shakespeare.fetch()
    assert [p for p in no_network.rglob("*") if p.is_file()] == []
