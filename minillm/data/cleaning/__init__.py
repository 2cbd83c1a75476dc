"""Cleaning collected text: `clean(text, "html")`, or `cleaned(corpus, "html")` as it is read. Steps: pipeline.STEPS."""

from minillm.data.cleaning.pipeline import PRESETS, STEPS, clean, cleaned
from minillm.data.cleaning.report import CleaningReport

__all__ = ["PRESETS", "STEPS", "CleaningReport", "clean", "cleaned"]
