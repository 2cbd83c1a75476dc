"""A chapter shows the same twice, but in cells tagged `timing`: pytest -m slow tests/book, with the extra `execute`."""

import pytest

from minillm.book import chapters

SOURCES = [path for folder in ("", "zh") for path in chapters(folder) if path.name[:2] != "00"]  # 00 is of the machine


def outputs(path):
    """What each cell shows, in a kernel of its own."""
    jupytext, nbclient = pytest.importorskip("jupytext"), pytest.importorskip("nbclient")
    notebook = jupytext.read(path)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(path.parent)}}).execute()
    shown = []
    for cell in notebook.cells:
        if cell.cell_type == "code" and "timing" not in cell.metadata.get("tags", []):
            text = "".join(output.get("text", "") for output in cell.outputs)  # it may come in any number of pieces
            shown.append((cell.source, text, [output.data for output in cell.outputs if "data" in output]))
    return shown


@pytest.mark.slow
@pytest.mark.parametrize("path", SOURCES, ids=[f"{path.parent.name}/{path.stem}" for path in SOURCES])
def test_a_chapter_shows_the_same_twice(path):
    for (source, *first), (_, *second) in zip(outputs(path), outputs(path), strict=True):
        assert first == second, source
