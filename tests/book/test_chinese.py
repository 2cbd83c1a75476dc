"""The Chinese chapters: the English ones' code and formulas, with the prose in Chinese."""

import ast
import json
import re

import pytest

from minillm.book import cells, chapters

TRANSLATED = ["01", "02", "03", "04", "05", "06"]
CHINESE = chapters("zh")
ENGLISH = {path.name: path for path in chapters()}
PARTS = ["思路", "算一个例子", "梯度检查", "minillm 里的同一件事", "如果弄坏它", "练习"]
CJK = re.compile(r"[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]")
LONGEST_CELL = 40  # lines

ids = [path.stem for path in CHINESE]
each_chapter = pytest.mark.parametrize("path", CHINESE, ids=ids)


class Blanked(ast.NodeTransformer):
    """Strings become "", and of an f-string only the values are left, sorted, since Chinese may want another order.

    A value's width isn't compared, since Chinese characters are twice as wide; its precision is.
    """

    def visit_Constant(self, node):
        return ast.Constant("") if isinstance(node.value, str) else node

    def visit_JoinedStr(self, node):
        values = [value for value in node.values if isinstance(value, ast.FormattedValue)]
        return ast.Tuple(sorted(map(self.visit_FormattedValue, values), key=ast.dump), ast.Load())

    def visit_FormattedValue(self, node):
        spec = ast.unparse(node.format_spec)[2:-1] if node.format_spec else ""
        precision = re.sub(r"^[<>^]?\d+", "", spec)
        return ast.Tuple([self.visit(node.value), ast.Constant(precision), ast.Constant(node.conversion)], ast.Load())


def blanked(code):
    return ast.dump(Blanked().visit(ast.parse(code)))


def strings(code):
    """The strings of a cell that aren't parts of f-strings."""
    tree = ast.parse(code)
    parts = {id(child) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for child in node.values}
    constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in parts]
    return [node.value for node in constants if isinstance(node.value, str)]


def paired(path):
    """Cells that belong together, of the English chapter and of this one."""
    return zip(cells(ENGLISH[path.name]), cells(path), strict=True)


def display_formulas(text):
    """What stands between $$ and $$, without white space and without the words in it."""
    return [re.sub(r"\s|\\text\{[^}]*\}", "", found) for found in re.findall(r"\$\$(.+?)\$\$", text, re.DOTALL)]


def test_the_first_chapters_are_there():
    assert [path.name[:2] for path in CHINESE] == TRANSLATED
    assert all(path.name in ENGLISH for path in CHINESE)


@each_chapter
def test_cells_are_those_of_the_english_chapter(path):
    kinds = [[(cell.markdown, cell.tags) for cell in cells(source)] for source in (ENGLISH[path.name], path)]
    assert kinds[0] == kinds[1]


@each_chapter
def test_the_code_is_the_english_one_but_for_its_strings(path):
    for english, chinese in paired(path):
        if not english.markdown:
            assert blanked(chinese.text) == blanked(english.text), f"line {chinese.line}"


@each_chapter
def test_a_string_is_in_chinese_or_the_english_one(path):
    """So that names, exercises' numbers and text that is counted stay the same."""
    for english, chinese in paired(path):
        if not english.markdown:
            changed = set(strings(chinese.text)) - set(strings(english.text)) - {""}
            assert all(CJK.search(string) for string in changed), f"line {chinese.line}: {changed}"


@each_chapter
def test_exercises_and_formulas_are_called_by_the_same_numbers(path):
    call = re.compile(r"^(?:check|formula|module)\(.*", re.MULTILINE)
    for english, chinese in paired(path):
        if not english.markdown:
            assert call.findall(chinese.text) == call.findall(english.text), f"line {chinese.line}"


@each_chapter
def test_prose_is_chinese_and_has_the_same_formulas(path):
    for english, chinese in paired(path):
        if english.markdown:
            assert CJK.search(chinese.text), f"line {chinese.line}"
            assert display_formulas(chinese.text) == display_formulas(english.text), f"line {chinese.line}"


@each_chapter
def test_its_parts_have_their_headings(path):
    headings = re.findall(r"^## (.*)$", "\n".join(cell.text for cell in cells(path) if cell.markdown), re.MULTILINE)
    assert [heading for heading in headings if heading in PARTS] == PARTS
    english = "\n".join(cell.text for cell in cells(ENGLISH[path.name]) if cell.markdown)
    assert len(headings) == len(re.findall(r"^## ", english, re.MULTILINE))


@each_chapter
def test_the_formulas_taught_are_named(path):
    """The line "Formulas: [4.2.1] [4.2.2]" of an English chapter."""
    first, ours = (cells(source)[0].text for source in (ENGLISH[path.name], path))
    taught = re.search(r"^Formulas: (.*)$", first, re.MULTILINE)
    ids = re.findall(r"\[[^]]+\]", taught[1]) if taught else []
    named = re.search(r"^公式：(.*)$", ours, re.MULTILINE)
    assert (re.findall(r"\[[^]]+\]", named[1]) if named else []) == ids


@each_chapter
def test_captions_are_chinese(path):
    for cell in cells(path):
        if not cell.markdown:
            for caption in re.findall(r"\bshow\(\s*figure,(.*?)\)\s*$", cell.text, re.DOTALL | re.MULTILINE):
                assert CJK.search(caption), f"line {cell.line}"


@each_chapter
def test_the_notebook_is_its_source_without_outputs(path):
    """jupytext --to ipynb notebooks/zh/NN_title.py makes it anew."""
    notebook = json.loads(path.with_suffix(".ipynb").read_text(encoding="utf-8"))
    paired = [("".join(cell["source"]).strip(), cell["cell_type"] == "markdown") for cell in notebook["cells"]]
    assert paired == [(cell.text.strip(), cell.markdown) for cell in cells(path)]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook["cells"])


@each_chapter
def test_cells_are_short(path):
    for cell in cells(path):
        assert len(cell.text.split("\n")) <= LONGEST_CELL, f"line {cell.line}"


@each_chapter
def test_links_lead_to_files(path):
    for cell in cells(path):
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", cell.text) if cell.markdown else []:
            assert (path.parent / target).exists(), target
