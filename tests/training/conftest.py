"""Fixtures of the training tests."""

import os

import pytest

from minillm.training import plot


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """For many trainings: no picture, no waiting for the disk (test_plot.py and test_checkpoints.py have both)."""
    monkeypatch.setattr(plot, "draw", lambda *arguments: None)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
