"""What a training will take, before it runs: counts by formula (counts.py), costs by a short trial (trial.py)."""

from minillm.planning.estimate import plan, plan_run
from minillm.planning.report import Plan, compare

__all__ = ["Plan", "compare", "plan", "plan_run"]
