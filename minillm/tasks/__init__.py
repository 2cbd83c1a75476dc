"""Fine-tuning tasks, a file each: their data, their model, how they are scored and beside which baselines."""

from minillm.tasks.classification import Classification
from minillm.tasks.dialogue import Dialogue
from minillm.tasks.document import Document
from minillm.tasks.extraction import Extraction
from minillm.tasks.files import load_config, open_run, save
from minillm.tasks.masked_lm import MaskedLM
from minillm.tasks.questions import Questions
from minillm.tasks.summarisation import Summarisation
from minillm.tasks.task import FinetuneConfig, FinetuneTask, Prepared, Scores
from minillm.tasks.translation import Translation

TASKS: dict[str, type[FinetuneTask]] = {
    task.kind: task
    for task in (Classification, Dialogue, Document, Extraction, MaskedLM, Questions, Summarisation, Translation)
}

__all__ = ["TASKS", "FinetuneConfig", "FinetuneTask", "Prepared", "Scores", "load_config", "open_run", "save"]
