"""Sphinx's settings for the site: `python -m docs.website` runs it on the pages it puts in build/docs/source."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import minillm  # noqa: E402
from docs.website.sources import linkcode_resolve  # noqa: E402, F401 - sphinx.ext.linkcode looks for it here

project = "minillm"
copyright = "minillm contributors, MIT licence"
version = release = minillm.__version__
extensions = [
    "myst_nb", "sphinx.ext.autodoc", "sphinx.ext.linkcode",
    "docs.website.docstrings", "docs.website.mathematics", "docs.website.search", "docs.website.sources",
]  # fmt: skip

nb_execution_mode = "off"  # notebooks/execute.py has run them
nb_render_markdown_format = "myst"  # what a cell shows may hold mathematics
myst_enable_extensions = ["amsmath", "attrs_block", "attrs_inline", "deflist", "dollarmath"]
myst_heading_anchors = 3
myst_url_schemes = ["http", "https", "mailto", "source"]  # source: docs/website/sources.py

smartquotes = False  # quotes stay as they were typed, in formulas above all
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 80

html_math_renderer = "prerendered"  # docs/website/mathematics.py
html_theme = "furo"
html_title = "minillm"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False


def setup(app):
    """A page of the Chinese part says that it is Chinese."""
    app.connect("html-page-context", _say_language)


def _say_language(app, page, template, context, tree):
    if page.startswith(("zh/", "book/zh/")):
        context["language"] = "zh"
