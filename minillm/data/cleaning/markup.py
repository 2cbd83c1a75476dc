"""HTML to text: tags out, then entities decoded, each exactly once."""

import html
import re

from minillm.data.cleaning.step import Cleaned, substitute

_TAG = re.compile(r"<[a-zA-Z/!?][^>]*>")
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")
_UNREAD = "title, script, style, noscript, template, iframe, svg, math, textarea"
_BLOCKS = (
    "address, article, aside, blockquote, dd, details, div, dl, dt, fieldset, figcaption, figure, footer, form, "
    "h1, h2, h3, h4, h5, h6, header, hr, li, main, nav, ol, p, pre, section, summary, table, tr, ul"
)


def strip_tags(text: str) -> Cleaned:
    """The readable text of an HTML page or fragment; counts elements. Text without a tag comes back as it is.

    Scripts, styles, comments and the page's head go with their content. Block elements and <br> become line ends, table
    cells are kept apart by a blank; other tags leave no gap. Entities stay, for `decode_entities`.
    """
    first = _TAG.search(text)
    if not first:
        return Cleaned(text, 0)
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(
        text.replace("&", "&amp;")
    )  # the parser decodes "&amp;" alone: entities come through unread
    elements = len(tree.css("body *")) + len(tree.css("head *"))
    for node in tree.css(_UNREAD):
        node.decompose()
    for node in tree.css("br"):
        node.replace_with("\n")
    for node in tree.css("td, th"):
        node.insert_after(" ")
    for node in tree.css(_BLOCKS):
        node.insert_before("\n")
        node.insert_after("\n")
    body = tree.body
    return Cleaned(body.text() if body else "", max(elements, 1), first[0])


def decode_entities(text: str) -> Cleaned:
    """`&amp;`, `&#8217;`, `&#x4e2d;` become the characters they stand for; counts entities. Unknown names stay."""
    return substitute(_ENTITY, lambda match: html.unescape(match[0]), text)
