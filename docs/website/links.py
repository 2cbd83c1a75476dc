"""Check a built site: python -m docs.website.links FOLDER

Every link inside the site must lead to a file, and its #anchor to an id there; no page or style sheet may load anything
from the network. Links that a reader clicks may lead outside. Exit code 1, with a line for each fault.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {("link", "href"), ("script", "src"), ("img", "src"), ("source", "src"), ("iframe", "src"), ("image", "href")}
STYLE_URL = re.compile(r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)")


@dataclass
class Page(HTMLParser):
    """What a page links to, what it loads, and the anchors it has."""

    path: Path
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()
        self._in_style = False
        self.feed(self.path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_style = tag == "style"
        for name, value in attrs:
            if name == "id" or (tag == "a" and name == "name"):
                self.anchors.add(value or "")
            elif (tag, name) == ("a", "href"):
                self.links.append(value or "")
            elif (tag, name.removeprefix("xlink:")) in LOADED:
                self.loads.append(value or "")
            elif name == "srcset":
                self.loads += [part.split()[0] for part in (value or "").split(",")]
            elif name == "style":
                self.loads += style_urls(value or "")

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.loads += style_urls(data)

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False


def style_urls(css: str) -> list[str]:
    """The addresses a style sheet loads."""
    return [a or b for a, b in STYLE_URL.findall(css)]


def faults(site: Path) -> list[str]:
    """What is wrong with the links of the site in a folder, a line each."""
    pages = {path: Page(path) for path in sorted(site.rglob("*.html"))}
    found = [] if pages else [f"{site}: no pages"]
    for path, page in pages.items():
        found += [fault for url in page.links if (fault := _fault(url, path, site, pages, loaded=False))]
        found += [fault for url in page.loads if (fault := _fault(url, path, site, pages, loaded=True))]
    for path in sorted(site.rglob("*.css")):
        urls = style_urls(path.read_text(encoding="utf-8"))
        found += [fault for url in urls if (fault := _fault(url, path, site, pages, loaded=True))]
    return found


def _fault(url: str, path: Path, site: Path, pages: dict[Path, Page], loaded: bool) -> str | None:
    parts, where = urlsplit(url), path.relative_to(site)
    if parts.scheme in ("data", "mailto"):
        return None
    if parts.scheme or parts.netloc:
        return f"{where}: loads {url}" if loaded else None
    target = Path(os.path.normpath(path.parent / unquote(parts.path))) if parts.path else path
    if not target.is_file():
        return f"{where}: no such file: {url}"
    anchor = unquote(parts.fragment)
    if anchor and target in pages and anchor not in pages[target].anchors:
        return f"{where}: no such anchor: {url}"
    return None


def main(arguments: Sequence[str]) -> int:
    """The command; the exit code."""
    site = Path(arguments[0]).resolve()
    found = faults(site)
    print("\n".join(found) or "every link of the site leads somewhere, and nothing is loaded from the network")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
