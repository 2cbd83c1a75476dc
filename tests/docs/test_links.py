"""The link checker finds what is wrong, and nothing else."""

import pytest

from docs.website import links

GOOD = """<html><head><link rel="stylesheet" href="a.css"></head><body id="top"><a href="b.html#there">x</a>
<a href="https://example.org/">out</a><a href="#top">up</a><img src="data:image/png;base64,AA=="></body></html>"""


def site(folder, page=GOOD, css="@font-face { src: url(f.woff2) }"):
    (folder / "a.html").write_text(page, encoding="utf-8")
    (folder / "b.html").write_text('<p id="there">y</p>', encoding="utf-8")
    (folder / "a.css").write_text(css, encoding="utf-8")
    (folder / "f.woff2").write_bytes(b"")
    return folder


def test_a_good_site_has_no_faults(tmp_path):
    assert links.faults(site(tmp_path)) == []
    assert links.main([str(tmp_path)]) == 0


@pytest.mark.parametrize(
    "good, bad, message",
    [
        ("b.html#there", "c.html", "a.html: no such file: c.html"),
        ("b.html#there", "b.html#where", "a.html: no such anchor: b.html#where"),
        ("#top", "#", None),
        ("a.css", "https://cdn.example.org/a.css", "a.html: loads https://cdn.example.org/a.css"),
        ("a.css", "//cdn.example.org/a.css", "a.html: loads //cdn.example.org/a.css"),
        ("data:image/png;base64,AA==", "missing.png", "a.html: no such file: missing.png"),
        (
            "</head>",
            "<style>p { background: url('http://x.org/p.png') }</style></head>",
            "a.html: loads http://x.org/p.png",
        ),
        ("</head>", '<script src="https://x.org/s.js"></script></head>', "a.html: loads https://x.org/s.js"),
    ],
)
def test_a_fault_in_a_page_is_found(tmp_path, good, bad, message):
    found = links.faults(site(tmp_path, GOOD.replace(good, bad)))
    assert found == ([message] if message else [])
    assert links.main([str(tmp_path)]) == bool(message)


def test_a_fault_in_a_style_sheet_is_found(tmp_path):
    assert links.faults(site(tmp_path, css="p { background: url(gone.png) }")) == ["a.css: no such file: gone.png"]
    assert links.faults(site(tmp_path, css='@import "https://x.org/a.css";')) == ["a.css: loads https://x.org/a.css"]


def test_an_empty_folder_is_no_site(tmp_path):
    assert links.main([str(tmp_path)]) == 1
