"""Help with an exercise: hints one at a time, and in the end a solution."""

from __future__ import annotations

from minillm.book.cells import cells, chapter
from minillm.errors import DataError
from minillm.exercises.shelf import exercise

_given: dict[str, int] = {}


class Note(str):
    """A text that a notebook shows as it stands, without quotes."""

    def __repr__(self) -> str:
        return str(self)


def hint(id: str) -> Note:
    """The next hint for an exercise; after the last one, from the first again."""
    hints = exercise(id).hints
    number = _given.get(id, 0) % len(hints)
    _given[id] = number + 1
    after = (
        "hint(...) again for the next" if number + 1 < len(hints) else f'that was the last; solution("{id}") shows one'
    )
    return Note(f"{id}, hint {number + 1} of {len(hints)}: {hints[number]}  ({after})")


def solution(id: str) -> Note:
    """One right answer, from notebooks/solutions/. DataError where the notebooks aren't at hand."""
    exercise(id)
    path = chapter(id[:2], "solutions")
    found = [cell.text for cell in cells(path) if f"solution-{id}" in cell.tags]
    if not found:
        raise DataError(f"{path.name} has no cell tagged solution-{id}")
    return Note("\n\n".join(found))
