"""The book as data: which cell, formula and test stands where, and what its notebooks show things with."""

from minillm.book.cells import Cell, cells, chapter, chapters, module
from minillm.book.formulas import Formula, Place, formulas
from minillm.book.showing import say, show

__all__ = ["Cell", "Formula", "Place", "cells", "chapter", "chapters", "formulas", "module", "say", "show"]
