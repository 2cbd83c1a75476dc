"""A trained language model, out of its run folder."""

import json
from pathlib import Path
from typing import Literal, NamedTuple

from minillm.errors import CheckpointError, DataError, TokenError
from minillm.models import GPT
from minillm.tokenizers import Tokenizer, load_tokenizer
from minillm.training import checkpoints
from minillm.training.run import RunFolder


class Trained(NamedTuple):
    """What a run folder holds of use to others: the model, in evaluation mode, and its tokenizer."""

    model: GPT
    tokenizer: Tokenizer
    step: int
    """Updates the weights were trained for."""


def load_run(path: str | Path, checkpoint: Literal["best", "last"] = "best") -> Trained:
    """The model of a run folder, with the weights of its "best" (see `checkpoints.best`) or "last" checkpoint.

    Raises CheckpointError where there is no run or no checkpoint, or one that is damaged; TokenError where the
    tokenizer isn't the one the run was trained with; DataError where what says so is damaged.
    """
    run = RunFolder(Path(path).expanduser())
    config = run.load_config()
    tokenizer = _load_tokenizer(run, config.model.vocab_size)
    saved = {"best": checkpoints.best, "last": checkpoints.newest}[checkpoint](run.checkpoints)
    if saved is None:
        raise CheckpointError(f"{path} has no checkpoint yet; go on training: {run.resume_command}")
    model = GPT(config.model)
    model.load_state_dict(saved.model())
    model.eval()
    return Trained(model, tokenizer, saved.step)


def _load_tokenizer(run: RunFolder, vocab_size: int) -> Tokenizer:
    """The run's tokenizer, if it is the one that made the run's tokens (whose files need not be there any more)."""
    if not run.tokenizer.exists():
        raise CheckpointError(f"{run.tokenizer} is missing; a run can't be used without the tokenizer it began with")
    tokenizer = load_tokenizer(run.tokenizer)
    # Without the tokens' own note the fingerprint can't be checked: it is then compared with itself.
    expected = {"vocabulary": vocab_size, "fingerprint": tokenizer.fingerprint()}
    about = run.tokens / "train.json"
    if about.exists():
        try:
            expected["fingerprint"] = json.loads(about.read_bytes())["tokenizer"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{about} is damaged ({error}); delete it to go on unchecked") from None
    given = {"vocabulary": tokenizer.vocab_size, "fingerprint": tokenizer.fingerprint()}
    for name in expected:
        if given[name] != expected[name]:
            raise TokenError(
                f"{run.tokenizer} isn't the tokenizer of this run: its {name} is {given[name]}, "
                f"the run was trained with {expected[name]}; put the run's own file back"
            )
    return tokenizer
