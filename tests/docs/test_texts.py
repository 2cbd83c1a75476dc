"""What is rewritten on the way to a page: links, docstrings, formulas of ops, words to search for."""

import json
import shutil
import subprocess

import pytest

from docs.website.op_table import split_formula
from docs.website.relink import relink
from minillm.errors import DataError


def test_links_lead_to_pages_and_to_sources():
    text = (
        "[a](results.md#tasks) [b](../csrc/README.md) [softmax, x.py:27](../minillm/ops/softmax.py) [c](https://x.org)"
    )
    assert relink(text, "docs/design.md") == (
        "[a](/results.md#tasks) [b](/kernels.md) [softmax, x.py:27](source:minillm/ops/softmax.py#L-27) [c](https://x.org)"
    )


def test_a_link_to_a_folder_leads_to_the_file_that_says_what_is_in_it():
    assert relink("[a](../minillm/ops)", "docs/design.md") == "[a](source:minillm/ops/__init__.py)"


def test_code_keeps_its_brackets():
    text = "```\n[a](nowhere.md)\n```"
    assert relink(text, "docs/design.md") == text


def test_a_link_to_nothing_is_an_error():
    with pytest.raises(DataError, match="docs/design.md links to 'nowhere.md'"):
        relink("[a](nowhere.md)", "docs/design.md")


@pytest.mark.parametrize(
    "docstring, what, formula",
    [
        ("Product.  c = a b", "Product.", "c = a b"),
        ("Softmax.  [4.2.1]  p_i = e_i / Σ_j e_j,  m = max x", "Softmax.", "p_i = e_i / Σ_j e_j,  m = max x"),
        ("GELU.\n\n    y = x Φ(x),  Φ the normal\n", "GELU.", "y = x Φ(x),  Φ the normal"),
        ("The same values in another dtype.", "The same values in another dtype.", ""),
    ],
)
def test_the_formula_of_an_op_is_told_from_its_name(docstring, what, formula):
    assert split_formula(docstring) == (what, formula)


def test_a_docstring_is_valid_markup_that_reads_as_it_did():
    docutils = pytest.importorskip("docutils.core")
    pytest.importorskip("sphinx")
    from docs.website.docstrings import to_rst

    docstring = (
        "Compare f's *gradient* p_ with `central` differences.\n\nfn: takes tensors;\n    two lines of it.\n"
        "eps: a step.\nRaises CheckError.\n\n    d = gradcheck(f)  # an example\n\n"
        "name   what | it is\nother  `# ` more"
    )
    html = docutils.publish_parts(to_rst(docstring), writer="html5", settings_overrides={"report_level": 1})["body"]
    assert "system-message" not in html
    assert "<p>Compare f's *gradient* p_ with" in html.replace("’", "'")
    assert html.count("<li>") == 2 and "two lines of it" in html
    assert "d = gradcheck(f)  # an example" in html and "name   what | it is\nother" in html


def test_chinese_is_indexed_by_characters_and_pairs():
    pytest.importorskip("sphinx")
    from docs.website.search import EnglishAndChinese

    terms = EnglishAndChinese({}).split("注意力 with d_model")
    assert terms == ["注", "意", "力", "注意", "意力", "with", "d_model"]


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
@pytest.mark.parametrize("query", ["注意力", "头", "KV缓存 d_model", "top-k, Σ x²", "naïve token's"])
def test_a_query_is_cut_into_terms_of_the_index(query):
    pytest.importorskip("sphinx")
    from docs.website.search import SPLIT_QUERY, EnglishAndChinese

    # Sphinx's script follows in the page and declares the function if there is none.
    script = f"{SPLIT_QUERY}\nif (typeof splitQuery === 'undefined') {{ var splitQuery = null; }}\n"
    script += "console.log(JSON.stringify(splitQuery(process.argv[1])))"
    found = json.loads(subprocess.run(["node", "-e", script, query], capture_output=True, check=True).stdout)
    assert found and set(found) <= set(EnglishAndChinese({}).split(query))
