"""Where the site's pages come from, and which page of the site a file of the repository becomes."""

from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "build" / "docs" / "source"  # what Sphinx reads
SITE = ROOT / "build" / "docs" / "site"  # what it writes
EXECUTED = ROOT / "build" / "book"  # by notebooks/execute.py

# Documents that aren't in docs/, with their page's name; those in docs/ keep theirs.
DOCUMENTS = {
    "README.md": "readme",
    "CHANGELOG.md": "changelog",
    "CONTRIBUTING.md": "contributing",
    "csrc/README.md": "kernels",
    "notebooks/INSTALL.md": "install",
}


def page_of(path: PurePosixPath) -> str | None:
    """The page that shows the file `path` of the repository, without a suffix; None if none does.

    A chapter is a page once it has been executed.
    """
    if path.as_posix() in DOCUMENTS and (ROOT / path).is_file():
        return DOCUMENTS[path.as_posix()]
    if path.parent == PurePosixPath("docs") and path.suffix == ".md" and (ROOT / path).is_file():
        return path.stem
    if path.as_posix() in ("notebooks", "notebooks/README.md"):
        return "book/index"
    if path.is_relative_to("notebooks") and path.suffix in (".ipynb", ".py"):
        chapter = path.relative_to("notebooks").with_suffix(".ipynb")
        if (EXECUTED / chapter).is_file():
            return f"book/{chapter.with_suffix('')}"
    return None
