"""BPE, ours beside the tokenizers library (training) and tiktoken (encoding): python -m benchmarks.tokenizer TEXT

Training learns a vocabulary of 8,192 from the text ten times over; encoding cuts it into GPT-2's tokens. As in
train_step.py each side runs in processes of its own, in turn. GPT-2's merges are read from $MINILLM_DATA
(gpt2_encoder.json, gpt2_vocab.bpe). Peers that aren't installed are left out.
"""

import argparse
import datetime
import importlib.util
import json
import os
import statistics
import sys
import time
from pathlib import Path

from benchmarks.machine import cpu_name
from benchmarks.pairs import run

VOCABULARY = 8192
TIMES = 10
# GPT-2's, as tiktoken wants it
PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""


def train_ours(text: str) -> float:
    """Seconds to learn a vocabulary with minillm."""
    from minillm.tokenizers import BPETokenizer

    return _timed(lambda: BPETokenizer.train([text], VOCABULARY))


def train_huggingface(text: str) -> float:
    """Seconds to learn one with the tokenizers library, which wants a text in parts to use its threads."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    lines = text.splitlines(keepends=True)
    return _timed(lambda: tokenizer.train_from_iterator(lines, trainer))


def encode_ours(text: str) -> float:
    """Seconds to encode with GPT-2's vocabulary by minillm."""
    from minillm.tokenizers import BPETokenizer

    folder = _data()
    tokenizer = BPETokenizer.from_gpt2(folder / "gpt2_encoder.json", folder / "gpt2_vocab.bpe")
    tokenizer.encode(text[:1000])
    return min(_timed(lambda: tokenizer.encode(text)) for _ in range(3))


def encode_tiktoken(text: str) -> float:
    """The same by tiktoken, on one thread as ours."""
    import tiktoken
    from tiktoken.load import data_gym_to_mergeable_bpe_ranks

    os.environ["TIKTOKEN_CACHE_DIR"] = ""
    folder = _data()
    ranks = data_gym_to_mergeable_bpe_ranks(
        vocab_bpe_file=str(folder / "gpt2_vocab.bpe"), encoder_json_file=str(folder / "gpt2_encoder.json")
    )
    encoding = tiktoken.Encoding("gpt2", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})
    encoding.encode_ordinary(text[:1000])
    return min(_timed(lambda: encoding.encode_ordinary(text)) for _ in range(3))


SIDES = {
    "train": (train_ours, train_huggingface, "tokenizers"),
    "encode": (encode_ours, encode_tiktoken, "tiktoken"),
}


def row(work: str, text: Path, megabytes: float, pairs: int) -> str:
    """One line of the table: medians, and the median of the pairs' ratios."""
    peer = SIDES[work][2]
    installed = importlib.util.find_spec(peer) is not None
    ours, theirs = [], []
    for _ in range(pairs):
        ours.append(_one(work, 0, text))
        if installed:
            theirs.append(_one(work, 1, text))
    cells = [work, f"{statistics.median(ours):.2f} s", f"{megabytes / statistics.median(ours):.0f} MB/s"]
    if theirs:
        ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
        rate = f"{megabytes / statistics.median(theirs):.0f} MB/s"
        cells += [peer, f"{statistics.median(theirs):.2f} s", rate, f"{ratio:.1f}x"]
    return f"| {' | '.join(cells)} |"


def _one(work: str, side: int, text: Path) -> float:
    return run(["-m", "benchmarks.tokenizer", str(text), "--side", work, str(side)])["seconds"]


def _timed(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _data() -> Path:
    return Path(os.environ.get("MINILLM_DATA", "."))


def main(arguments: list[str] | None = None) -> None:
    """Print the table; with --side the seconds of one side, as a JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path, help="a text file of a megabyte or more")
    parser.add_argument("--pairs", type=int, default=3, help="runs of each side, in turn")
    parser.add_argument("--side", nargs=2, metavar=("WORK", "SIDE"), help=argparse.SUPPRESS)
    parsed = parser.parse_args(arguments)
    text = parsed.text.read_text(encoding="utf-8") * TIMES
    if parsed.side:
        work, side = parsed.side
        print(json.dumps({"seconds": SIDES[work][int(side)](text)}))
        return
    megabytes = len(text.encode()) / 1e6
    print(f"BPE on {megabytes:.1f} MB, {datetime.date.today()}, {cpu_name()}; medians of {parsed.pairs} paired runs.\n")
    print("| work | ours | ours, rate | peer | its time | its rate | peer / ours |\n|---|---|---|---|---|---|---|")
    for work in SIDES:
        print(row(work, parsed.text, megabytes, parsed.pairs), flush=True)


if __name__ == "__main__":
    sys.exit(main())
