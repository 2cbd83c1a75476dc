"""The few SVG shapes the views are drawn with. Colours are classes of style.css, so that both themes work.

All text is escaped here. There are no ids: pictures on one page can't disturb each other.
"""

from html import escape

from minillm.views.text import number

NAMESPACE = "http://www.w3.org/2000/svg"


def picture(label: str, description: str, width: float, height: float, shapes: str) -> str:
    """An <svg> in a box that scrolls sideways where it is narrower; `label` and `description` are read aloud."""
    w, h = coordinate(width), coordinate(height)
    return (
        f'<div class="mv-scroll"><svg xmlns="{NAMESPACE}" role="img" aria-label="{escape(f"{label}. {description}")}" '
        f'width="{w}" height="{h}" viewBox="0 0 {w} {h}"><title>{escape(label)}</title>'
        f"<desc>{escape(description)}</desc>{shapes}</svg></div>"
    )


def figure(caption: str, drawing: str) -> str:
    """A drawing with its caption above."""
    return f'<figure class="mv-figure"><figcaption>{escape(caption)}</figcaption>{drawing}</figure>'


def text(
    x: float, y: float, content: str, css: str = "", *, anchor: str = "start", tip: str = "", turn: float = 0
) -> str:
    """Text whose middle line is at `y`. tip: shown by the mouse; turn: degrees clockwise about (x, y)."""
    title = f"<title>{escape(tip)}</title>" if tip else ""
    turned = f' transform="rotate({coordinate(turn)} {coordinate(x)} {coordinate(y)})"' if turn else ""
    return (
        f'<text class="mv-text {css}" x="{coordinate(x)}" y="{coordinate(y)}" text-anchor="{anchor}" '
        f'dominant-baseline="central"{turned}>{escape(content)}{title}</text>'
    )


def rect(
    x: float, y: float, w: float, h: float, css: str, *, opacity: float | None = None, round: float = 0, tip: str = ""
) -> str:
    """A rectangle; `opacity` of its fill, from 0 to 1, is what colour scales are made of."""
    title = f"<title>{escape(tip)}</title>" if tip else ""
    filled = "" if opacity is None else f' fill-opacity="{opacity:.2f}"'
    rounded = f' rx="{coordinate(round)}"' if round else ""
    return (
        f'<rect class="{css}" x="{coordinate(x)}" y="{coordinate(y)}" width="{coordinate(w)}" '
        f'height="{coordinate(h)}"{rounded}{filled}>{title}</rect>'
    )


def path(d: str, css: str) -> str:
    """A line along `d`, SVG's own notation."""
    return f'<path class="{css}" d="{d}"/>'


def polyline(points: list[tuple[float, float]], css: str) -> str:
    """A line through points."""
    return path("M" + "L".join(f"{coordinate(x)} {coordinate(y)}" for x, y in points), css)


def circle(x: float, y: float, radius: float, css: str, tip: str = "") -> str:
    """A dot."""
    title = f"<title>{escape(tip)}</title>" if tip else ""
    return f'<circle class="{css}" cx="{coordinate(x)}" cy="{coordinate(y)}" r="{coordinate(radius)}">{title}</circle>'


def coordinate(value: float) -> str:
    """A place in pixels, to a tenth."""
    return f"{value:.1f}".removesuffix(".0")


def tip(row: str, column: str, value: float) -> str:
    """What the mouse shows over a cell."""
    return f"{row}, {column}: {number(value)}"
