"""Step-through views for notebooks: HTML and SVG of our own, saved as pages that need no network.

Not imported by `import minillm`. Each function returns a `View`: a notebook shows it, `view.save(path)` writes a page.
"""

from minillm.views.attention import attention
from minillm.views.bpe import bpe
from minillm.views.gradient_norms import gradient_norms
from minillm.views.graph import graph
from minillm.views.landscape import landscape
from minillm.views.view import View

__all__ = ["View", "attention", "bpe", "gradient_norms", "graph", "landscape"]
