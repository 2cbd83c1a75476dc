"""Pre-training a GPT on running text: predict each next token.  [3.2.2-clm]"""

from collections.abc import Callable
from dataclasses import dataclass

from minillm.configs.config import Config
from minillm.metrics.language import bits_per_byte
from minillm.models import GPT
from minillm.training import evaluate, samples
from minillm.training.data import Data
from minillm.training.task import Batch, Evaluation


@dataclass(frozen=True)
class LanguageModelling:
    """The task of `python -m minillm.train`; see `Task`."""

    config: Config
    data: Data

    @property
    def baselines(self) -> dict[str, float]:
        return self.data.baselines

    def make_model(self) -> GPT:
        return GPT(self.config.model)

    def batch(self, step: int) -> Batch:
        ids, targets = self.data.batch(step)
        return {"ids": ids, "targets": targets}

    def evaluate(self, model: GPT, interrupted: Callable[[], bool]) -> Evaluation | None:
        """The loss on the validation text, or on its first `eval_tokens`."""
        training, data = self.config.training, self.data
        ids = data.validation[: training.eval_tokens + 1] if training.eval_tokens else data.validation
        loss = evaluate.evaluate(
            model,
            ids,
            context_length=self.config.model.context_length,
            batch_size=training.batch_size // training.gradient_accumulation,
            interrupted=interrupted,
        )
        if loss is None:
            return None
        return Evaluation(loss, {"bits_per_byte": bits_per_byte(loss, len(data.validation), data.validation_bytes)})

    def samples(self, model: GPT, step: int, interrupted: Callable[[], bool]) -> list[str] | None:
        training, tokenizer = self.config.training, self.data.tokenizer
        prompt = samples.prompt_ids(tokenizer, training.prompt, int(self.data.validation[0]))
        return samples.draw(model, tokenizer, prompt, training, step, interrupted)

    def title(self, model: GPT) -> str:
        return f"{self.config.data.corpus}, {model.num_parameters():,} parameters"
