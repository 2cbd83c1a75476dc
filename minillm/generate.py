"""Write with a trained model: `python -m minillm.generate RUN --prompt "..."`. Text appears as it is drawn.

Standard output has the prompt and its continuation and nothing else; notes go to standard error. Ctrl-C ends the text.
"""

import argparse
import codecs
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from minillm import cli
from minillm.errors import ConfigError, DataError, TokenError
from minillm.memory import keep_freed_memory
from minillm.models.decoding import Sampling
from minillm.nn.quantize import WEIGHTS, quantize
from minillm.tokenizers import Tokenizer
from minillm.training.checkpoints import CHECKPOINT_HELP
from minillm.training.trained import Trained, load_run

END_OF_TEXT = "<|endoftext|>"
TEMPERATURE = 0.8


def start_ids(tokenizer: Tokenizer, prompt: str) -> tuple[list[int], str]:
    """The ids a text begins with; and, for an empty prompt, what they are.

    That is a line break, as in the samples of a training; in a vocabulary without one, <|endoftext|> or the first id.
    (A line break comes first because a training's text is full of them, but need not hold <|endoftext|> at all.)
    Raises TokenError where the vocabulary can't write the prompt.
    """
    if prompt:
        return tokenizer.encode(prompt), ""
    try:
        ids = tokenizer.encode("\n")
    except TokenError:
        ids = []
    if ids and tokenizer.decode(ids) == "\n":
        return ids, "a line break"
    if END_OF_TEXT in tokenizer.special_tokens:
        return [tokenizer.special_tokens[END_OF_TEXT]], END_OF_TEXT
    return [0], f"the vocabulary's first token, {tokenizer.decode([0])!r}"


def whole_characters(pieces: Iterable[bytes]) -> Iterator[str]:
    """Text as soon as its characters are complete: a token may hold a part of one.

    A part left at the end is dropped.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for piece in pieces:
        if text := decoder.decode(piece):
            yield text


def until_stop(pieces: Iterable[str], stops: Sequence[str]) -> Iterator[str]:
    """The text before the first stop string to be completed, wherever the pieces' borders are.

    What may be the beginning of a stop string is held back until the next characters decide. Where two are completed
    by the same character, the longer one is cut off.
    """
    held = ""
    for piece in pieces:
        held += piece
        found = [(start + len(stop), start) for stop in stops if (start := held.find(stop)) >= 0]
        if found:
            yield held[: min(found)[1]]
            return
        keep = max((_beginning_at_end(held, stop) for stop in stops), default=0)
        yield held[: len(held) - keep]
        held = held[len(held) - keep :]
    yield held


def _beginning_at_end(text: str, stop: str) -> int:
    """Length of the longest beginning of `stop`, but not all of it, that `text` ends with."""
    return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)


def write(
    trained: Trained, ids: Sequence[int], stops: Sequence[str], max_new_tokens: int, **options: Any
) -> Iterator[str]:
    """Pieces of text that continue `ids`. Options: those of `GPT.generate`."""
    model, tokenizer, _ = trained
    ends = frozenset(i for name, i in tokenizer.special_tokens.items() if name == END_OF_TEXT)
    with closing(model.stream(ids, max_new_tokens, stop_ids=ends, **options)) as tokens:  # type: ignore[type-var]
        yield from until_stop(whole_characters(map(tokenizer.token_bytes, tokens)), stops)


def decoding_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """How tokens are chosen. Raises ConfigError for flags that are out of range or contradict each other."""
    drawing = {name: getattr(arguments, name) for name in ("temperature", "top_k", "top_p")}
    given = {name: value for name, value in drawing.items() if value is not None}
    if not arguments.greedy and arguments.beam is None:
        drawn = {"temperature": TEMPERATURE, **given}
        Sampling(**drawn)  # refuses now what it would refuse after the prompt was printed
        return {**drawn, "use_cache": arguments.cache}
    chosen = "--greedy" if arguments.greedy else "--beam"
    clashes = [f"--{name.replace('_', '-')}" for name in given]
    clashes += ["--num-samples"] if arguments.num_samples > 1 else []
    clashes += ["--beam"] if arguments.greedy and arguments.beam else []
    if clashes:
        raise ConfigError(
            f"{chosen} always gives one and the same text, chosen its own way: leave out {', '.join(clashes)}"
        )
    way = {"temperature": 0.0} if arguments.greedy else {"beam_width": arguments.beam}
    return {**way, "use_cache": arguments.cache}


def read_prompt(given: str) -> str:
    """The prompt, from standard input for "-" (without the line break that ends its last line)."""
    if given != "-":
        return given
    try:
        return sys.stdin.buffer.read().decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise DataError(f"the prompt on standard input isn't UTF-8: {error}") from None


def parser() -> argparse.ArgumentParser:
    """The command line."""
    flags = argparse.ArgumentParser(prog="python -m minillm.generate", description=__doc__)
    add = flags.add_argument
    add("run", type=Path, help="run folder, made by python -m minillm.train")
    add("--prompt", default="", help="text to continue; - reads it from standard input (default: an empty text)")
    add("--checkpoint", choices=("best", "last"), default="best", help=CHECKPOINT_HELP)
    add(
        "--max-new-tokens",
        type=whole_number(1),
        default=200,
        metavar="N",
        help="length of the continuation (default: 200)",
    )
    add(
        "--num-samples",
        type=whole_number(1),
        default=1,
        metavar="N",
        help="texts, drawn from seed, seed + 1 ... (default: 1)",
    )
    add("--stop", action="append", default=[], metavar="TEXT", help="end before this text; may be given several times")
    add(
        "--temperature",
        type=finite_number,
        metavar="T",
        help=f"below 1 bolder, above 1 wilder, 0 greedy (default: {TEMPERATURE})",
    )
    add("--top-k", type=whole_number(1), metavar="K", help="draw from the K likeliest tokens only")
    add("--top-p", type=float, metavar="P", help="draw from the likeliest tokens that together have probability P")
    add("--greedy", action="store_true", help="always the likeliest token")
    add(
        "--beam",
        type=whole_number(1),
        metavar="N",
        help="search for a likely whole text, keeping N beginnings; shown at the end",
    )
    add(
        "--weights",
        choices=WEIGHTS,
        default="float32",
        help="store weights in fewer bits: faster, a little less exact (default: float32)",
    )
    add("--seed", type=whole_number(0), default=0, help="the same seed draws the same text (default: 0)")
    add(
        "--no-cache", dest="cache", action="store_false", help="compute all keys and values anew: slower, the same text"
    )
    add("--debug", action="store_true", help="show the full traceback of an error")
    return flags


def whole_number(least: int) -> Callable[[str], int]:
    """Type of a flag: a whole number from `least` on."""

    def number(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text) < 2**63:
            raise argparse.ArgumentTypeError(f"{text!r} must be a whole number, at least {least}")
        return int(text)

    return number


def finite_number(text: str) -> float:
    """Type of a flag: a number, but neither infinity nor NaN."""
    try:
        if math.isfinite(number := float(text)):
            return number
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} must be a finite number")


def main() -> int:
    """The command. Returns its exit code."""
    arguments = parser().parse_args()
    if "" in arguments.stop:
        raise ConfigError("--stop is empty, which would end every text before it begins; give the text to stop at")
    options = decoding_options(arguments)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8")
    try:
        _print_samples(arguments, options)
    except KeyboardInterrupt:
        print(flush=True)
        return 130
    return 0


def _print_samples(arguments: argparse.Namespace, options: dict[str, Any]) -> None:
    keep_freed_memory()
    trained = load_run(arguments.run, arguments.checkpoint)
    quantize(trained.model, arguments.weights)
    ids, start = start_ids(trained.tokenizer, read_prompt(arguments.prompt))
    if start:
        print(f"no prompt; starting from {start}", file=sys.stderr)
    for number in range(arguments.num_samples):
        if number:
            print("---")
        print("" if start else trained.tokenizer.decode(ids), end="", flush=True)
        seed = {} if "beam_width" in options else {"seed": arguments.seed + number}
        for text in write(trained, ids, arguments.stop, arguments.max_new_tokens, **options, **seed):
            print(text, end="", flush=True)
        print()


if __name__ == "__main__":
    cli.run(main)
