"""What every view has: a page that is well-formed, works offline, harms no neighbour and can be read by everyone."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minillm import Tensor, views
from minillm.tokenizers import BPETokenizer
from minillm.views.view import Step, View
from tests.views.page import Page

STYLE = Path(views.__file__).with_name("style.css").read_text(encoding="utf-8")
HOSTILE = ["<script>alert(1)</script>", "\"' onload=", "你好", " &amp;"]


def every_view():
    rng = np.random.default_rng(0)
    q, k, v = rng.normal(size=(3, len(HOSTILE), 3))
    leaf = Tensor([1.0, 2.0], requires_grad=True)
    tokenizer = BPETokenizer.train(["<script>alert(1)</script> 你好 你好"], 300)
    name = HOSTILE[0]
    return {
        "attention": views.attention(HOSTILE, q, k, v, causal=True),
        "bpe": views.bpe(tokenizer, "<script>alert(1)</script> 你好"),
        "graph": views.graph((leaf * leaf).sum(), {name: leaf}),
        "landscape": views.landscape(
            lambda x: float(x @ x),
            [0.0, 0.0],
            np.eye(2),
            size=5,
            path=[[1, 1], [0.5, 0.5]],
            names=(name, "b"),
            unit=name,
        ),
        "gradient_norms": views.gradient_norms([name, "2"], {name: [1.0, 2.0]}),
    }


VIEWS = every_view()


@pytest.fixture(params=VIEWS)
def view(request):
    return VIEWS[request.param]


def test_importing_minillm_imports_no_views_and_no_matplotlib():
    code = "import sys, minillm; sys.exit('minillm.views' in sys.modules or 'matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    code = "import sys, minillm.views; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_saved_page_is_well_formed_complete_and_utf_8(view, tmp_path):
    view.save(tmp_path / "view.html")
    html = (tmp_path / "view.html").read_bytes().decode("utf-8")
    page = Page(html)
    assert html.startswith("<!DOCTYPE html>\n")
    assert ("html", {"lang": "en"}) in page.tags
    assert ("meta", {"charset": "utf-8"}) in page.tags
    assert any(attributes.get("name") == "viewport" for tag, attributes in page.tags if tag == "meta")
    assert page.texts["title"][0] == view.title
    assert len(page.texts["h1"]) == 1


def test_nothing_is_fetched(view, tmp_path):
    view.save(tmp_path / "view.html")
    html = (tmp_path / "view.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://", html.replace("http://www.w3.org/2000/svg", ""))
    assert not re.search(r"\b(src|href)=|@import|url\(|fetch\(|XMLHttpRequest", html)


def test_views_on_one_page_share_no_id_also_the_same_view_twice(view):
    page = Page(view._repr_html_() + view._repr_html_() + VIEWS["attention"]._repr_html_())
    assert len(page.ids) == len(set(page.ids)) >= 6
    scripts = "".join(page.texts["script"])
    sections = [attributes["id"] for tag, attributes in page.tags if tag == "section"]
    assert all(scripts.count(f'getElementById("{name}")') == 1 for name in sections)


def test_the_same_program_gives_the_same_html():
    code = "from minillm import views; print(views.gradient_norms(['1'], {'a': [1.0]})._repr_html_())"
    first, second = (subprocess.run([sys.executable, "-c", code], capture_output=True).stdout for _ in range(2))
    assert first == second != b""


def test_what_the_user_wrote_is_text_and_no_markup(view):
    page = Page(view._repr_html_())
    assert len(page.texts["script"]) == 1
    assert "alert(1)" not in page.texts["script"][0]
    assert all(not name.startswith("on") for _, attributes in page.tags for name in attributes)


def test_every_picture_has_its_text(view):
    page = Page(view._repr_html_())
    pictures = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert all(picture["role"] == "img" and picture["aria-label"] for picture in pictures)
    assert len(page.texts.get("desc", [])) == len(pictures)
    assert all(page.texts.get("desc", []))
    assert page.tables
    assert "details" in page.texts


def test_keyboard_and_screen_reader(view):
    page = Page(view._repr_html_())
    assert page.texts["button"] == ["Previous", "Next"]
    n = len(view.steps)
    assert ("p", {"class": "mv-where", "role": "status", "aria-live": "polite"}) in page.tags
    assert f"step 1 of {n}" in page.texts["p"]
    assert any(attributes.get("tabindex") == "0" for tag, attributes in page.tags if tag == "div")
    assert all(key in page.texts["script"][0] for key in ("ArrowLeft", "ArrowRight"))


def test_without_javascript_all_steps_are_there_and_no_dead_buttons():
    view = View("t", "", (Step("one", "a", "b"), Step("two", "c", "d")), "text")
    page = Page(view._repr_html_())
    steps = [attributes for _, attributes in page.tags if attributes.get("class") == "mv-step"]
    assert len(steps) == 2
    assert all("hidden" not in step for step in steps)
    assert ("div", {"class": "mv-nav", "hidden": None}) in page.tags


def test_all_styles_are_limited_to_views():
    css = re.sub(r"@media[^{]*\{((?:[^{}]*\{[^{}]*\})*)\s*\}", r"\1", re.sub(r"/\*.*?\*/", "", STYLE, flags=re.S))
    selectors = re.findall(r"([^{}]+)\{", css)
    assert len(selectors) > 50
    for selector in selectors:
        assert all(".minillm-" in part for part in re.split(r",(?![^(]*\))", selector)), selector


def test_a_terminal_shows_the_view_in_words(view):
    shown = repr(view)
    assert shown.startswith(view.title)
    assert 1 < len(shown.splitlines()) < 20


# ---- colours: WCAG 2.1 contrast, and blue against orange for eyes that see no red or green ----


def palette(theme):
    pairs = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", STYLE)
    return {
        name: np.array([int((light, dark)[theme][i : i + 2], 16) for i in (1, 3, 5)]) for name, light, dark in pairs
    }


def luminance(colour):
    c = colour / 255
    return float(np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])


def contrast(a, b):
    low, high = sorted([luminance(a), luminance(b)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_and_lines_can_be_read_on_all_they_stand_on(theme):
    c = palette(theme)
    assert len(c) == 14
    for scale in ("high", "low", "share"):  # numbers stand on every shade of these
        for share in np.linspace(0, 1, 21):
            assert contrast(c["ink"], c["ground"] + share * (c[scale] - c["ground"])) >= 4.5, (scale, share)
    for text in ("ink", "quiet", "accent", "series-1", "series-2", "series-3", "series-4"):
        assert contrast(c[text], c["ground"]) >= 4.5, text
    for text in ("ink", "quiet", "accent"):
        assert contrast(c[text], c["raised"]) >= 4.5, text


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_the_two_signs_differ_for_the_colour_blind(theme):
    """Viénot, Brettel & Mollon 1999: a protanope's and a deuteranope's view, in linear RGB."""
    c = palette(theme)
    protan = np.array([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]])
    deutan = np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]])
    for matrix in (protan, deutan):
        seen = [np.clip(matrix @ (c[name] / 255) ** 2.2, 0, 1) ** (1 / 2.2) for name in ("high", "low")]
        assert np.abs(seen[0] - seen[1]).max() > 0.25
