"""What a notebook shows things with: prose with computed numbers in it, and figures with their captions."""

from __future__ import annotations

import base64
import html
import io
from typing import Any

DPI = 110


def say(text: str) -> None:
    """Show Markdown that was computed: say(f"The loss fell to **{loss:.3f}** nats.")"""
    from IPython.display import Markdown, display

    display(Markdown(text))


def show(figure: Any, caption: str) -> None:
    """Show a matplotlib figure over a sentence that says what is to be seen; it is the text alternative, too."""
    import matplotlib.pyplot as plt
    from IPython.display import HTML, display

    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI, bbox_inches="tight", facecolor="white", metadata={"Software": None})
    plt.close(figure)
    picture = base64.b64encode(file.getvalue()).decode()
    text = html.escape(caption)
    display(
        HTML(
            f'<figure style="margin:1em 0"><img style="max-width:100%;background:white" alt="{text}" '
            f'src="data:image/png;base64,{picture}"><figcaption>{text}</figcaption></figure>'
        )
    )
