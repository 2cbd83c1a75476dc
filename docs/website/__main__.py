"""Assemble the pages, run Sphinx over them with warnings as errors, check the links: python -m docs.website"""

import shutil
import sys
import time

from sphinx.cmd.build import main as sphinx

from docs.website import assemble, links
from docs.website.places import ROOT, SITE, SOURCE


def main() -> int:
    """Build the site; the exit code."""
    started = time.perf_counter()
    shutil.rmtree(SITE, ignore_errors=True)  # a page that is no longer made must not stay
    assemble.assemble()
    print(f"pages assembled: {time.perf_counter() - started:.0f} s", flush=True)
    options = ["-W", "--keep-going", "-E", "-a", "-q", "-b", "html", "-d", str(SITE.parent / "doctrees")]
    failed = sphinx([*options, "-c", str(ROOT / "docs"), str(SOURCE), str(SITE)])
    failed = failed or links.main([str(SITE)])
    print(f"{SITE / 'index.html'}: {time.perf_counter() - started:.0f} s")
    return failed


if __name__ == "__main__":
    sys.exit(main())
