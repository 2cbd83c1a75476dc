"""Tokenizers from the command line: python -m minillm.tokenize train|encode|decode|show

python -m minillm.tokenize train --corpus my_book.txt --vocab-size 4096 --out tokenizer.json
python -m minillm.tokenize encode tokenizer.json --file my_book.txt > ids.txt
python -m minillm.tokenize decode tokenizer.json --file ids.txt
python -m minillm.tokenize show "unbelievable" --tokenizer tokenizer.json --merges
"""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from minillm import cli
from minillm.errors import ConfigError, DataError, TokenError
from minillm.tokenizers import BPETokenizer, CharTokenizer, Tokenizer, WordTokenizer, load_tokenizer
from minillm.tokenizers.patterns import PATTERNS

BACKGROUNDS = (44, 45, 46, 42, 43)  # terminal colours that alternate from token to token
BORDER = "|"


def train(arguments: argparse.Namespace) -> None:
    """Make a tokenizer from a corpus and save it."""
    from minillm.data import corpora

    texts = corpora.load(arguments.corpus).documents()
    if arguments.kind == "bpe":
        tokenizer: Tokenizer = BPETokenizer.train(texts, arguments.vocab_size, arguments.special, arguments.pattern)
    elif arguments.kind == "word":
        tokenizer = WordTokenizer.train(texts, arguments.min_count, arguments.vocab_size, arguments.special)
    else:
        tokenizer = CharTokenizer.train(texts, arguments.special, arguments.unk)
    tokenizer.save(arguments.out)
    summary = f"{tokenizer.kind} tokenizer, {tokenizer.vocab_size} ids, fingerprint {tokenizer.fingerprint()[:12]}"
    print(f"{arguments.out}: {summary}")


def encode(arguments: argparse.Namespace) -> None:
    """Text to ids, separated by spaces."""
    tokenizer = _load(arguments.tokenizer)
    text = _text(arguments.text, arguments.file)
    print(*(tokenizer.encode(text, "all") if arguments.allow_special else tokenizer.encode(text)))


def decode(arguments: argparse.Namespace) -> None:
    """Ids to text."""
    tokenizer = _load(arguments.tokenizer)
    sys.stdout.write(tokenizer.decode(map(_id, _text(arguments.ids, arguments.file).split())))


def _load(path: Path) -> Tokenizer:
    """A tokenizer from its file, or from the folder of a run."""
    return load_tokenizer(path / "tokenizer.json" if path.is_dir() else path)


def show(arguments: argparse.Namespace) -> None:
    """The text with its token borders, and how many tokens and bytes it has."""
    tokenizer = _load(arguments.tokenizer) if arguments.tokenizer else _small_english()
    text = _text(arguments.text, arguments.file)
    if arguments.merges:
        if not isinstance(tokenizer, BPETokenizer):
            raise TokenError(f"--merges shows how BPE works; this is a {tokenizer.kind} tokenizer")
        for n, step in enumerate(tokenizer.merge_steps(text)):
            print(f"{n:>3}  {f' {BORDER} '.join(map(printable, step))}")
        return
    tokens = [tokenizer.token_bytes(i) for i in tokenizer.encode(text)]
    print(bordered(tokens, colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ))
    size = sum(map(len, tokens))
    print(f"{len(tokens)} tokens, {len(text)} characters, {size} bytes: {size / max(len(tokens), 1):.2f} bytes a token")


def bordered(tokens: Sequence[bytes], *, colour: bool) -> str:
    """The tokens one after another: on alternating backgrounds, or with a bar between them.

    After a token that ends a line, a new line begins here, too.
    """
    shown = []
    for i, token in enumerate(tokens):
        text = printable(token)
        if colour:
            text = f"\x1b[30;{BACKGROUNDS[i % len(BACKGROUNDS)]}m{text}\x1b[0m"
        elif i + 1 < len(tokens):
            text += BORDER
        shown.append(text + "\n" if token.endswith(b"\n") and i + 1 < len(tokens) else text)
    return "".join(shown)


def printable(token: bytes) -> str:
    """A token's text; line ends and other control characters as escapes, bytes of a split character in hex."""
    try:
        text = token.decode()
    except UnicodeDecodeError:
        return "".join(f"<{byte:02x}>" for byte in token)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _small_english() -> BPETokenizer:
    """What `show` uses when no tokenizer is given: 2,048 tokens learnt from the Python documentation."""
    from minillm.data import corpora

    print("(no --tokenizer given: learning 2,048 tokens from the Python documentation)", file=sys.stderr)
    return BPETokenizer.train(corpora.load("python-docs").documents(), 2048)


def _text(words: list[str], file: Path | None) -> str:
    """The text of a file, of the command line, or of standard input where neither is given; DataError if not UTF-8."""
    if words and file:
        raise ConfigError(f"give the text or --file {file}, not both")
    if words and words != ["-"]:
        return " ".join(words)
    source, data = (file, file.read_bytes()) if file else ("standard input", sys.stdin.buffer.read())
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{source} isn't UTF-8: byte {data[error.start]:#04x} at offset {error.start}; convert it first"
        ) from None


def _id(word: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise TokenError(f"{word!r} isn't a token id; give whole numbers separated by spaces") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m minillm.tokenize", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("train", help=train.__doc__, description=train.__doc__)
    command.add_argument("--corpus", default="python-docs", help="registered name, file, folder or glob [python-docs]")
    command.add_argument("--kind", choices=("bpe", "word", "char"), default="bpe")
    command.add_argument(
        "--vocab-size", type=int, default=4096, help="ids of a BPE, most words of a word tokenizer [4096]"
    )
    command.add_argument("--min-count", type=int, default=2, help="word: rarer words become <unk> [2]")
    command.add_argument("--unk", action="store_true", help="char: characters not in the corpus become <unk>")
    command.add_argument("--pattern", default="gpt2", help=f"bpe: {', '.join(PATTERNS)} or a regular expression [gpt2]")
    command.add_argument("--special", nargs="*", default=["<|endoftext|>"], help="special tokens [<|endoftext|>]")
    command.add_argument("--out", type=Path, required=True, help="JSON file to write")
    command.set_defaults(run=train)

    command = commands.add_parser("encode", help=encode.__doc__, description=encode.__doc__)
    command.add_argument("tokenizer", type=Path)
    command.add_argument("text", nargs="*", help="standard input if left out, or -")
    command.add_argument("--file", type=Path, help="read the text from a UTF-8 file")
    command.add_argument("--allow-special", action="store_true", help="read special tokens in the text as such")
    command.set_defaults(run=encode)

    command = commands.add_parser("decode", help=decode.__doc__, description=decode.__doc__)
    command.add_argument("tokenizer", type=Path)
    command.add_argument("ids", nargs="*", help="standard input if left out")
    command.add_argument("--file", type=Path, help="read the ids from a file")
    command.set_defaults(run=decode)

    command = commands.add_parser("show", help=show.__doc__, description=show.__doc__)
    command.add_argument("text", nargs="*", help="standard input if left out, or -")
    command.add_argument("--file", type=Path, help="read the text from a UTF-8 file")
    command.add_argument("--tokenizer", type=Path, help="one saved by train, or a run folder")
    command.add_argument("--merges", action="store_true", help="the merges one by one, the text taken as one chunk")
    command.set_defaults(run=show)
    return parser


def main() -> None:
    """Parse the command line and do what it says."""
    arguments = _parser().parse_args()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # on Windows, too: the text's own bytes come out
    arguments.run(arguments)


if __name__ == "__main__":
    cli.run(main)
