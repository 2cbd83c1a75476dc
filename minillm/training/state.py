"""Where a training stands, besides weights and moments: small, JSON-ready, saved in every checkpoint."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields

from minillm import seeding
from minillm.configs.config import TrainingConfig
from minillm.errors import CheckpointError
from minillm.nn import Module
from minillm.optim import AdamW
from minillm.training.checkpoints import Checkpoint


@dataclass
class TrainingState:
    """All a resumed run needs to go on as if it had never stopped. Batches and the learning rate follow from `step`."""

    step: int = 0
    """Finished updates, skipped ones included."""

    evaluated_step: int | None = None
    """Step of the last whole evaluation; a run stopped during one makes it again."""

    val_loss: float | None = None
    """What that evaluation gave, in nats per token."""

    best_loss: float | None = None
    """Lowest validation loss so far, in nats per token."""

    best_step: int | None = None
    """Step it was reached at."""

    evaluations_since_best: int = 0
    """Counts up to `patience`."""

    skipped: int = 0
    """Updates skipped because a gradient wasn't finite."""

    skipped_in_a_row: int = 0
    """Those since the last update that was made."""

    seconds: float = 0.0
    """Time spent training, over all sessions. The only part that differs between two equal runs."""

    random: dict[str, int] = field(default_factory=seeding.get_state)
    """Counts of the random streams (dropout)."""

    def to_json(self) -> dict:
        """The state with the random streams as they stand now."""
        self.random = seeding.get_state()
        return asdict(self)

    @classmethod
    def from_json(cls, saved: dict) -> "TrainingState":
        """The saved state; puts the random streams back, too. Raises CheckpointError where a field is missing."""
        names = {f.name for f in fields(cls)}
        if set(saved) != names:
            raise CheckpointError(f"state.json doesn't fit this version: {', '.join(sorted(set(saved) ^ names))}")
        seeding.set_state(saved["random"])
        return cls(**saved)

    def record_evaluation(self, val_loss: float) -> None:
        """Note a whole evaluation at this step. NaN never counts as better."""
        self.evaluated_step, self.val_loss = self.step, val_loss
        best = math.inf if self.best_loss is None or math.isnan(self.best_loss) else self.best_loss
        if self.best_loss is None or val_loss < best:  # the first, whatever it is
            self.best_loss, self.best_step, self.evaluations_since_best = val_loss, self.step, 0
        else:
            self.evaluations_since_best += 1


def restore(
    training: TrainingConfig, make_model: Callable[[], Module], saved: Checkpoint | None
) -> tuple[Module, AdamW, TrainingState]:
    """Model, optimizer and state of a checkpoint; fresh ones, drawn from the seed, where there is none.

    Raises CheckpointError where the checkpoint doesn't fit the model.
    """
    seeding.seed(training.seed)
    model = make_model()
    optimizer = AdamW(
        model.parameters(),
        lr=training.learning_rate,
        betas=(training.beta1, training.beta2),
        eps=training.epsilon,
        weight_decay=training.weight_decay,
    )
    if saved is None:
        return model, optimizer, TrainingState()
    model.load_state_dict(saved.model())
    optimizer.load_state_dict(saved.optimizer())
    return model, optimizer, TrainingState.from_json(saved.state)
