"""The training loop: evaluate, save, step, until done or asked to stop.

What happens next depends on the saved state alone, so a run that stops anywhere and resumes does what it would have
done, bit for bit: batches and learning rate are pure functions of the step; weights, moments and the counts of the
random streams are in the checkpoint.
"""

import time

from minillm.configs.config import TrainingConfig
from minillm.errors import UserError
from minillm.memory import on_gpu
from minillm.training import checkpoints, plot, samples, step
from minillm.training.ahead import Ahead
from minillm.training.metrics import Metrics
from minillm.training.progress import Progress
from minillm.training.run import RunFolder
from minillm.training.schedule import learning_rate
from minillm.training.signals import StopRequest
from minillm.training.state import restore
from minillm.training.task import Evaluation, Task

MOST_SKIPPED_IN_A_ROW = 3


class Trainer:
    """One training, from the state it is given to its end or to a stop."""

    def __init__(
        self,
        config: TrainingConfig,
        run: RunFolder,
        task: Task,
        stop: StopRequest,
        gradients: step.Gradients = step.accumulate_gradients,
    ) -> None:
        """Go on from the newest checkpoint in `run`, or begin where there is none.

        gradients: accumulate_gradients, or what does the same by a CUDA graph (minillm.cuda.graph).
        Raises CheckpointError where every checkpoint is damaged or one doesn't fit the task's model.
        """
        self.config, self.run, self.task, self.stop = config, run, task, stop
        saved = checkpoints.newest(run.checkpoints)
        self.model, self.optimizer, self.state = restore(config, task.make_model, saved)
        self._saved = (self.state.step, self.state.evaluated_step) if saved else None
        self.metrics = Metrics(run.metrics, self.state.step, self.state.evaluated_step == self.state.step)
        self.progress = Progress(config.steps, self.state.step)
        self._gradients = gradients
        self._batches = Ahead(lambda step: self.task.batch(step), config.steps)

    def train(self) -> bool:
        """Train to the end (True), or until asked to stop (False); either way the last thing done is a save.

        Raises CheckpointError when a save fails, UserError when gradients stay non-finite.
        """
        try:
            while True:
                if self._evaluation_due() and not self._evaluate():
                    break
                if self._save_due():
                    self._save()
                if self._finished() or self.stop.requested:
                    break
                self._step()
            self._save()
        finally:
            self.metrics.close()
            self.progress.close()
        return self._finished() and not self._evaluation_due()

    def _finished(self) -> bool:
        patience = self.config.patience
        return self.state.step >= self.config.steps or 0 < patience <= self.state.evaluations_since_best

    def _evaluation_due(self) -> bool:
        state, training = self.state, self.config
        at_interval = state.step % training.eval_interval == 0 or state.step >= training.steps
        return at_interval and state.evaluated_step != state.step

    def _save_due(self) -> bool:
        at_interval = self.state.step % self.config.checkpoint_interval == 0
        return at_interval or self.state.best_step == self.state.step

    def _step(self) -> None:
        """One update, its metrics and its line of progress."""
        training, state = self.config, self.state
        started = time.perf_counter()
        self.optimizer.lr = rate = learning_rate(state.step, training)
        batch = self._batches.take(state.step)
        result = step.update(
            self.model,
            self.optimizer,
            batch,
            clip=training.gradient_clip,
            parts=training.gradient_accumulation,
            gradients=self._gradients,
            meanwhile=self._prepare,
        )
        state.step += 1
        seconds = time.perf_counter() - started
        state.seconds += seconds
        if result.skipped:
            self._note_skipped(result.skipped)
            return
        state.skipped_in_a_row = 0
        tokens_per_s = round(max(values.size for values in batch.values()) / seconds, 1)  # the ids, with padding
        self.metrics.append(
            "train",
            state.step,
            train_loss=result.loss,
            learning_rate=rate,
            grad_norm=result.grad_norm,
            tokens_per_s=tokens_per_s,
        )
        self.progress.update(state.step, result.loss, tokens_per_s)

    def _prepare(self) -> None:
        """While a GPU works, make the next batch, and begin to copy it there if a graph will read it."""
        if not on_gpu():
            return
        batch = self._batches.prepare(self.state.step + 1)
        if batch is not None and hasattr(self._gradients, "upload"):
            self._gradients.upload(batch)

    def _note_skipped(self, reason: str) -> None:
        """Count a skipped update and say so; three in a row end the training."""
        state = self.state
        state.skipped += 1
        state.skipped_in_a_row += 1
        self.metrics.append("skip", state.step, reason=reason)
        self.progress.say(f"step {state.step} skipped, its gradient isn't finite: {reason}")
        if state.skipped_in_a_row == MOST_SKIPPED_IN_A_ROW:
            raise UserError(
                f"the gradient wasn't finite {MOST_SKIPPED_IN_A_ROW} times in a row, last at step {state.step}: "
                f"{reason}.\n"
                "A smaller --learning-rate or --gradient-clip usually helps; the last checkpoint is from before"
            )

    def _evaluate(self) -> bool:
        """Validation loss, samples, plot. False if a stop was asked for meanwhile: nothing is then recorded."""
        state = self.state
        started = time.perf_counter()
        evaluation = self.task.evaluate(self.model, self._interrupted)
        if evaluation is None:
            return False
        texts = self.task.samples(self.model, state.step, self._interrupted)
        if texts is None:
            return False
        state.record_evaluation(evaluation.loss)
        state.seconds += time.perf_counter() - started
        self._show_evaluation(evaluation, texts)
        return True

    def _interrupted(self) -> bool:
        return self.stop.requested

    def _show_evaluation(self, evaluation: Evaluation, texts: list[str]) -> None:
        step = self.state.step
        self.metrics.append("eval", step, val_loss=evaluation.loss, **evaluation.measures)
        for text in texts:
            self.metrics.append("sample", step, text=text)
        samples.write(self.run.samples, self.metrics.events)
        plot.draw(self.run.plot, self.metrics.events, self.task.baselines, self.task.title(self.model))
        measures = "".join(f", {value:.3f} {name.replace('_', ' ')}" for name, value in evaluation.measures.items())
        self.progress.say(f"step {step:,}  validation loss {evaluation.loss:.4f} nats{measures}")

    def _save(self) -> None:
        """Save a checkpoint, unless this very state is saved already; then remove those no longer needed.

        Removed in either case: the run may have been killed between a save and the removal after it.
        """
        state = self.state
        if self._saved != (state.step, state.evaluated_step):
            self.metrics.sync()
            checkpoints.save(
                self.run.checkpoints,
                state.step,
                self.model.state_dict(),
                self.optimizer.state_dict(),
                state.to_json(),
            )
            self._saved = (state.step, state.evaluated_step)
        checkpoints.prune(self.run.checkpoints, state.best_step)
