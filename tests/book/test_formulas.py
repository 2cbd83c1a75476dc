"""Every formula has code, a test and a chapter; `python -m minillm.formula` shows them."""

import re

import pytest

from minillm import formula as command
from minillm.book import cells, formulas
from minillm.book.cells import root
from minillm.errors import ConfigError, DataError

IDS = list(formulas())


@pytest.mark.parametrize("id", IDS)
def test_a_formula_is_computed_tested_and_taught_somewhere(id):
    found = formulas()[id]
    assert found.code, "no docstring of the package cites it"
    assert found.tests, "no test is marked with it"
    assert found.chapters, "no chapter's line of formulas names it"
    assert f'formula("{id}")' in found.chapters[0].read_text(encoding="utf-8")
    if not found.prose:
        assert found.code[0].path.parent.name == "ops"


@pytest.mark.parametrize("id", IDS)
def test_the_command_shows_formula_code_test_and_an_example(id, capsys):
    command.main([id])
    shown = capsys.readouterr().out
    found = formulas()[id]
    assert found.text in shown and found.latex in shown
    assert str(found.code[0]) in shown and str(found.tests[0]) in shown
    assert re.search(r"for example\n  \S", shown)


def test_the_lines_named_are_those_of_the_definition():
    place = formulas()["4.2.1"].code[0]
    assert place.name == "attention" and "def attention(" in place.source
    assert "attention.backward" not in place.source


def test_the_example_of_attention_has_the_documents_numbers_put_right(capsys):
    command.main(["4.2.1"])
    assert "0.21872, 0.31824, 0.46304; output 4.24431" in capsys.readouterr().out


def test_all_formulas_are_listed_without_an_id(capsys):
    command.main([])
    shown = capsys.readouterr().out
    assert all(id in shown for id in IDS)


def test_an_unknown_id_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean .*4.2.1"):
        command.formula("4.2.11")


def test_cells_are_read_with_their_tags(tmp_path):
    path = tmp_path / "x.py"
    path.write_text(
        '# %% [markdown]\n# # 标题\n#\n# text\n\n# %% tags=["engine", "b"]\nx = 1\n\n# %%\ny = 2\n', encoding="utf-8"
    )
    first, second, third = cells(path)
    assert first.markdown and first.text == "# 标题\n\ntext"
    assert (second.text, second.tags, second.line) == ("x = 1", ("engine", "b"), 6)
    assert third.text == "y = 2" and not third.tags


def test_the_engine_of_chapter_04_can_be_used_elsewhere():
    from minillm.book import module

    engine = module("04", "engine")
    x = engine.Tensor([1.0, 2.0])
    (x * x).sum().backward()
    assert x.grad.tolist() == [2.0, 4.0]
    with pytest.raises(DataError, match="no cell tagged 'nothing'"):
        module("04", "nothing")


@pytest.mark.parametrize("folder", ["notebooks", "notebooks/zh"])
def test_links_of_a_notebook_lead_somewhere(folder, monkeypatch):
    monkeypatch.chdir(root() / folder)
    text = command.formula("4.2.1")._repr_markdown_()
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert (root() / folder / target).exists(), target
