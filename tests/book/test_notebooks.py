"""The notebooks' form: paired files that agree, no stale outputs, short cells, the parts that every chapter has."""

import json
import re

import pytest

from minillm.book import cells, chapters

SOURCES = [path for folder in ("", "solutions") for path in chapters(folder)]
CHAPTERS = [path for path in chapters() if not path.name.startswith("00")]
PARTS = [
    "The idea",
    "A worked example",
    "The gradient check",
    "The same thing in minillm",
    "What breaks if",
    "Exercises",
]
LONGEST_CELL = 40  # lines


def names(paths):
    return [f"{path.parent.name}/{path.stem}" for path in paths]


@pytest.mark.parametrize("path", SOURCES, ids=names(SOURCES))
def test_the_notebook_is_its_source_without_outputs(path):
    """jupytext --to ipynb notebooks/NN_title.py makes it anew."""
    notebook = json.loads(path.with_suffix(".ipynb").read_text(encoding="utf-8"))
    paired = [("".join(cell["source"]).strip(), cell["cell_type"] == "markdown") for cell in notebook["cells"]]
    assert paired == [(cell.text.strip(), cell.markdown) for cell in cells(path)]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook["cells"])


@pytest.mark.parametrize("path", SOURCES, ids=names(SOURCES))
def test_cells_are_short(path):
    for cell in cells(path):
        assert len(cell.text.split("\n")) <= LONGEST_CELL, f"line {cell.line}"


@pytest.mark.parametrize("path", CHAPTERS, ids=names(CHAPTERS))
def test_a_chapter_has_its_parts_in_order(path):
    text = "\n".join(cell.text for cell in cells(path) if cell.markdown)
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert [heading for heading in headings if heading in PARTS] == PARTS


@pytest.mark.parametrize("path", CHAPTERS, ids=names(CHAPTERS))
def test_a_chapter_leads_to_the_code_and_to_its_tests(path):
    """By the formulas it teaches, or by links."""
    first = cells(path)[0].text
    assert re.search(r"^Formulas: \[", first, re.MULTILINE) or re.search(
        r"^In minillm: \[.*checked in \[tests/", first, re.MULTILINE
    )


@pytest.mark.parametrize("path", CHAPTERS, ids=names(CHAPTERS))
def test_figures_have_captions_and_labels(path):
    """They are shown by `show`, which asks for a caption."""
    code = "\n".join(cell.text for cell in cells(path) if not cell.markdown)
    assert "plt.show" not in code
    assert code.count("plt.subplots") == len(re.findall(r"\bshow\(figure", code))
    for label in ("xlabel", "ylabel"):
        assert len(re.findall(rf"{label}[=(]", code)) >= code.count("plt.subplots")


@pytest.mark.parametrize("path", SOURCES, ids=names(SOURCES))
def test_links_lead_to_files(path):
    for cell in cells(path):
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", cell.text) if cell.markdown else []:
            assert (path.parent / target).exists(), target
