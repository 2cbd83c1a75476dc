"""Fine-tuning tasks, a file each: their data, their model, how they are scored and beside which baselines."""

from minillm.tasks.files import load_config, open_run, save
from minillm.tasks.task import FinetuneConfig, FinetuneTask, Prepared, Scores
from minillm.tasks.translation import Translation

TASKS: dict[str, type[FinetuneTask]] = {task.kind: task for task in (Translation,)}

__all__ = ["TASKS", "FinetuneConfig", "FinetuneTask", "Prepared", "Scores", "load_config", "open_run", "save"]
