"""Talk with a model fine-tuned on dialogues: `python -m minillm.chat RUN`. Answers appear token by token.

/reset begins anew, /quit or Ctrl-D ends, Ctrl-C stops an answer. Standard output has the answers and nothing else, so
that it works in a pipe, where every line of standard input is answered; notes go to standard error.
"""

import argparse
import contextlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from minillm import cli
from minillm.data.examples import prompt
from minillm.errors import ConfigError, DataError, UserError
from minillm.evaluate import load_trained
from minillm.generate import TEMPERATURE, finite_number, whole_characters, whole_number
from minillm.memory import keep_freed_memory
from minillm.models import GPT
from minillm.models.decoding import Sampling
from minillm.nn.lora import merge_lora
from minillm.tasks.dialogue import Dialogue, turns
from minillm.tokenizers import Tokenizer
from minillm.training.checkpoints import CHECKPOINT_HELP
from minillm.training.run import RunFolder

COMMANDS = ("/reset", "/quit")


class Chat:
    """A conversation with a model, kept within its context.

    said: the user's and the model's texts in turn. Each answer is drawn with the next seed from `seed` on.
    max_new_tokens: of an answer; so much of the context, but at most half of it, is kept free for the answer to come.
    Raises ConfigError for sampling options that are none.
    """

    def __init__(
        self, model: GPT, tokenizer: Tokenizer, system: str, max_new_tokens: int, seed: int = 0, **sampling: Any
    ):
        Sampling(seed=seed, **sampling)
        self.model, self.tokenizer, self.system = model, tokenizer, system
        self.max_new_tokens, self.seed, self.sampling = max_new_tokens, seed, sampling
        self.said: list[str] = []

    @property
    def context_length(self) -> int:
        """Most tokens the model looks at."""
        return self.model.config.context_length

    def reset(self) -> None:
        """Forget what was said."""
        self.said = []

    def hear(self, text: str) -> int:
        """What the user says next. Returns how many of the oldest exchanges had to be forgotten to make room for it.

        Raises DataError where it is too long by itself, TokenError for a character that a small vocabulary can't
        write; the conversation is then what it was.
        """
        said = [*self.said, text]
        room = self.context_length - min(self.max_new_tokens, self.context_length // 2)
        ids = prompt(turns(said, self.system), self.tokenizer, max_length=room, drop_oldest=True)
        kept = int((ids == self.tokenizer.special_tokens["<|user|>"]).sum())
        forgotten = (len(said) + 1) // 2 - kept
        self.said = said[2 * forgotten :]
        return forgotten

    def answer(self) -> Iterator[str]:
        """The model's answer, in pieces of whole characters. What was taken of it is then part of the conversation.

        It ends at <|end|>, and at any other special token: none of them is something to say.
        """
        ids = prompt(turns(self.said, self.system), self.tokenizer)
        most = min(self.max_new_tokens, self.context_length - len(ids) + 1)
        stops = frozenset(self.tokenizer.special_tokens.values())
        tokens = self.model.stream(ids, most, stop_ids=stops, seed=self.seed, **self.sampling)
        self.seed += 1
        answer = ""
        try:
            for piece in whole_characters(map(self.tokenizer.token_bytes, tokens)):
                answer += piece
                yield piece
        finally:
            self.said.append(answer)


def talk(chat: Chat, lines: Iterable[str], interactive: bool) -> None:
    """Answer line after line, and obey commands. Ctrl-C stops an answer; where nobody types, it ends everything."""
    for line in lines:
        text = line.strip()
        if text == "/quit":
            return
        if text == "/reset":
            chat.reset()
            note("the conversation begins anew")
        elif text.startswith("/") and len(text.split()) == 1:
            note(f"there is no command {text}; commands are {', '.join(COMMANDS)}")
        elif text and heard(chat, text):
            show(chat, interactive)


def heard(chat: Chat, text: str) -> bool:
    """Whether the text could be said; notes what that cost, or why it couldn't."""
    try:
        forgotten = chat.hear(text)
    except UserError as error:
        note(f"not said: {error}")
        return False
    if forgotten:
        exchanges = "oldest exchange" if forgotten == 1 else f"{forgotten} oldest exchanges"
        note(f"forgetting the {exchanges}, to stay within the context of {chat.context_length} tokens")
    return True


def show(chat: Chat, interactive: bool) -> None:
    """Print the answer as it comes."""
    try:
        with contextlib.closing(chat.answer()) as pieces:  # type: ignore[type-var]
            for piece in pieces:
                print(piece, end="", flush=True)
    except KeyboardInterrupt:
        if not interactive:
            raise
    print(flush=True)


def typed() -> Iterator[str]:
    """Lines from the terminal, until Ctrl-D."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  (gives `input` arrow keys and a history)
    while True:
        try:
            yield input("> ")
        except EOFError:
            print()
            return
        except KeyboardInterrupt:
            print("\nCtrl-D ends")


def piped() -> Iterator[str]:
    """Lines of standard input, as they come."""
    try:
        yield from sys.stdin
    except UnicodeDecodeError as error:
        raise DataError(f"standard input isn't UTF-8: {error}") from None


def note(text: str) -> None:
    """Say something that isn't part of the conversation."""
    print(f"({text})", file=sys.stderr, flush=True)


def load(run: Path, checkpoint: str) -> tuple[Dialogue, GPT]:
    """The task and the model of a dialogue's run. ConfigError for a run of another task."""
    task, model, step = load_trained(RunFolder(run), checkpoint)
    if not isinstance(task, Dialogue):
        raise ConfigError(f"{run} is a run of {task.kind}; a chat needs one of python -m minillm.finetune dialogue")
    merge_lora(model)
    if sys.stdin.isatty():
        note(f"{task.title(model)}, step {step:,}; {', '.join(COMMANDS)}")
    return task, model


def decoding_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """How tokens are chosen. Raises ConfigError for flags that contradict each other."""
    given = {name: value for name in ("temperature", "top_p") if (value := getattr(arguments, name)) is not None}
    if arguments.greedy and given:
        clashes = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ConfigError(f"--greedy always takes the likeliest token: leave out {clashes}")
    return {"temperature": 0.0} if arguments.greedy else {"temperature": TEMPERATURE, **given}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    flags = argparse.ArgumentParser(prog="python -m minillm.chat", description=__doc__)
    add = flags.add_argument
    add("run", type=Path, help="run folder, made by python -m minillm.finetune dialogue")
    add("--checkpoint", choices=("best", "last"), default="best", help=CHECKPOINT_HELP)
    add("--system", metavar="TEXT", help="what the system says first (default: what it said in training)")
    add("--max-new-tokens", type=whole_number(1), metavar="N", help="longest answer (default: the run's setting)")
    add(
        "--temperature",
        type=finite_number,
        metavar="T",
        help=f"below 1 bolder, above 1 wilder, 0 greedy (default: {TEMPERATURE})",
    )
    add("--top-p", type=finite_number, metavar="P", help="draw from the likeliest tokens with probability P together")
    add("--greedy", action="store_true", help="always the likeliest token")
    add("--seed", type=whole_number(0), default=0, help="same seed, same words, same answers (default: 0)")
    add("--debug", action="store_true", help="show the full traceback of an error")
    return flags


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code."""
    arguments = parser().parse_args(argv)
    options = decoding_options(arguments)
    for stream in (sys.stdin, sys.stdout):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8")
    keep_freed_memory()
    interactive = sys.stdin.isatty()
    try:
        task, model = load(arguments.run, arguments.checkpoint)
        settings = task.config.task
        system = settings.system if arguments.system is None else arguments.system
        most = arguments.max_new_tokens or settings.max_new_tokens
        chat = Chat(model, task.tokenizer, system, most, arguments.seed, **options)
        talk(chat, typed() if interactive else piped(), interactive)
    except KeyboardInterrupt:
        print(flush=True)
        return 130
    return 0


if __name__ == "__main__":
    cli.run(main)
