"""Exercises of the book that check themselves.

    from minillm.exercises import check, hint, solution

    check("06.1", my_scores)      # right, or the smallest input where it isn't, with what was expected
    hint("06.1")                  # the first hint; call it again for the next
    solution("06.1")              # one right answer, as it stands in notebooks/solutions/

Each chapter's exercises are a file here, `chapter_06.py` those of chapter 06.
"""

from minillm.exercises.checking import Result, check
from minillm.exercises.exercise import Exercise, Given, given
from minillm.exercises.help import hint, solution
from minillm.exercises.shelf import all_exercises, exercise

__all__ = ["Exercise", "Given", "Result", "all_exercises", "check", "exercise", "given", "hint", "solution"]
