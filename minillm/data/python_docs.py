"""The default corpus: the English of the Python that is running us. Real text, on every machine, nothing fetched.

It is the language reference that `help()` shows (`pydoc_data.topics`) and the docstrings of the standard library.
Sources are parsed with `ast`, never imported, so nothing in them runs. Code, tables and lists of names are left out:
a paragraph counts as English when enough of its words are the small ones every English sentence needs.

The text differs a little between versions of Python, as the documentation does; on one it is always the same.
"""

import ast
import functools
import gc
import hashlib
import inspect
import os
import re
import sysconfig
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Tests, tables, other people's packages, and two folders that later Pythons no longer have.
SKIPPED = {
    "__pycache__", "_pyrepl", "dist-packages", "distutils", "encodings", "ensurepip", "idlelib", "lib-dynload",
    "lib2to3", "msilib", "pydoc_data", "site-packages", "test", "tests", "turtledemo",
}  # fmt: skip
_SMALL_WORDS = {
    "a", "an", "and", "are", "as", "at", "be", "by", "can", "for", "from", "if", "in", "is", "it", "its", "not", "of",
    "on", "or", "that", "the", "this", "to", "was", "when", "which", "will", "with",
}  # fmt: skip
_WORD = re.compile(r"[A-Za-z']+")
_MIN_WORDS = 6
_MIN_SHARE = 0.1


@functools.cache
def documents() -> tuple[str, ...]:
    """One document a topic and a module, each paragraph once in the whole corpus, in an order that mixes the subjects.

    The order is by hash of the name: alphabetical, the last tenth (the validation text) would be all XML and zip files.
    """
    seen: set[str] = set()
    ordered = sorted(_sources(), key=lambda source: hashlib.sha256(source[0].encode()).digest())
    found = (_new_paragraphs(text, seen) for _, text in ordered)
    return tuple("\n\n".join(paragraphs) + "\n\n" for paragraphs in found if paragraphs)


def is_english(paragraph: str) -> bool:
    """Whether a paragraph reads as English sentences, and not as code, a table or a list of names."""
    if ">>>" in paragraph or "::=" in paragraph:
        return False
    words = _WORD.findall(paragraph)
    small = sum(word.lower() in _SMALL_WORDS for word in words)
    return len(words) >= _MIN_WORDS and small >= _MIN_SHARE * len(words)


def _new_paragraphs(text: str, seen: set[str]) -> list[str]:
    kept = []
    for block in re.split(r"\n[ \t]*\n", text):
        paragraph = inspect.cleandoc(block)
        if paragraph not in seen and is_english(paragraph):
            seen.add(paragraph)
            kept.append(paragraph)
    return kept


def _sources() -> Iterator[tuple[str, str]]:
    """(name, text) of every topic and module."""
    library = Path(sysconfig.get_path("stdlib"))
    with _no_garbage_collection():
        for path in _modules(library):
            name = path.relative_to(library).as_posix()
            yield name, "\n\n".join(_docstrings(_parse(path)))
        topics = library / "pydoc_data" / "topics.py"
        if topics.exists():  # some minimal installs leave it out
            for name, text in _topics(_parse(topics)).items():
                yield f"topic {name}", text


def _modules(library: Path) -> Iterator[Path]:
    for folder, subfolders, files in os.walk(library):
        subfolders[:] = [name for name in subfolders if name not in SKIPPED and not name.startswith("config-")]
        yield from (Path(folder) / name for name in files if name.endswith(".py"))


def _parse(path: Path) -> ast.Module:
    """The syntax tree; an empty one for a file this Python can't parse (some distributions ship templates)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old escapes in a docstring are no concern of ours
            return ast.parse(path.read_bytes(), filename=str(path))
    except (SyntaxError, ValueError):
        return ast.Module(body=[], type_ignores=[])


def _docstrings(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    """Of the node and of every class and function in it, outermost first."""
    yield ast.get_docstring(node) or ""
    for child in node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _docstrings(child)


def _topics(tree: ast.Module) -> dict[str, str]:
    """The one dictionary in the file, topic -> text."""
    dictionaries = (
        node.value for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
    )
    return next(map(ast.literal_eval, dictionaries), {})


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Syntax trees are millions of small objects without cycles; looking for cycles took most of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
