"""Reading a view's HTML back: well-formed or an error, ids, texts, and tables by their captions."""

from html.parser import HTMLParser

VOID = {"meta", "input", "br"}


class Page(HTMLParser):
    """ids: all of them; tags: (name, attributes) in order; tables: caption → rows of texts; texts: by tag name."""

    def __init__(self, html):
        super().__init__()
        self.ids, self.tags, self.tables, self.texts, self._open, self._rows = [], [], {}, {}, [], []
        self.feed(html)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag, attributes):
        names = [name for name, _ in attributes]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice: {names}"
        self.tags.append((tag, dict(attributes)))
        self.ids += [value for name, value in attributes if name == "id"]
        self.texts.setdefault(tag, []).append("")
        if tag == "table":
            self._rows = []
        if tag == "tr":
            self._rows.append([])
        if tag in ("th", "td"):
            self._rows[-1].append("")
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self._open.pop()

    def handle_endtag(self, tag):
        assert self._open and self._open[-1] == tag, f"</{tag}> closes {self._open[-1:]}"
        self._open.pop()
        if tag == "table":
            self.tables[self.texts["caption"][-1]] = self._rows

    def handle_data(self, data):
        if self._open:
            self.texts[self._open[-1]][-1] += data
        if self._open and self._open[-1] in ("th", "td"):
            self._rows[-1][-1] += data


def numbers(rows):
    """The numbers of a table's body: without its headings; hidden ones are 0."""
    return [[0.0 if cell == "hidden" else float(cell.replace("−", "-")) for cell in row[1:]] for row in rows[1:]]
