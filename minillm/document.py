"""The document's own program, put right: `python -m minillm.document --data FOLDER [--vectors glove.6B.100d.txt]`.

Section 5.2: trains its encoder-decoder on FOLDER's train.txt, valid.txt and test.txt and then continues some texts. All
other flags are those of `python -m minillm.finetune document --help`; Ctrl-C saves, `--out RUN --resume` goes on.

`--section 4.3.2` builds the model described there instead, counts it, and trains it by one step.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minillm import cli, evaluate, finetune, seeding
from minillm.models import Seq2Seq, Seq2SeqConfig
from minillm.models.seq2seq import teacher_forcing
from minillm.optim import Adam
from minillm.training.run import RunFolder, free_folder
from minillm.training.step import update

WORDS = 1000  # of section 4.3.1, with ids from 1
SECTION_432 = Seq2SeqConfig(
    vocab_size=WORDS + 3,
    n_encoder_layer=20,
    n_decoder_layer=2,
    n_head=8,
    d_model=8 * 64,
    d_ff=2048,
    norm="post",
    pad_id=0,
    start_id=WORDS + 1,
    end_id=WORDS + 2,
)
"""8 heads of 64, 20 encoder and 2 decoder layers. The section leaves out the feed-forward width: 2,048, as in 2017."""
SOURCE = np.arange(1, 21)[None]  # the ids section 4.3.1 lists
LABELS = np.array([[5, 6, SECTION_432.end_id]])  # section 4.3.4


def section_432(config: Seq2SeqConfig = SECTION_432) -> str:
    """Build the model, train it by one step on the section's ids, and say how large it is and how long that took."""
    seeding.seed(0)
    started = time.perf_counter()
    model = Seq2Seq(config)
    optimizer = Adam(model.parameters(), lr=1e-3)
    built = time.perf_counter() - started
    embeddings = config.vocab_size * config.d_model
    inputs, targets = teacher_forcing(LABELS, config)
    started = time.perf_counter()
    result = update(model, optimizer, {"source": SOURCE, "inputs": inputs, "targets": targets}, clip=0, parts=1)
    seconds = time.perf_counter() - started
    return "\n".join(
        [
            f"{config.n_head} heads of {config.d_model // config.n_head}, {config.n_encoder_layer} encoder layers and "
            f"{config.n_decoder_layer} decoder layers: built in {built:.1f} s",
            f"{model.num_parameters() - embeddings:,} parameters, and {embeddings:,} in the embeddings",
            f"one step, {SOURCE.size} words to {LABELS.size}: {seconds:.2f} s, loss {result.loss:.3f} nats a word",
        ]
    )


def continuations(run: RunFolder, count: int = 3) -> str:
    """What the best checkpoint makes of the first halves of the first test texts."""
    task, model, _ = evaluate.load_trained(run)
    return "\n\n".join(task.shown(model, task.examples["test"][:count]))


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code."""
    flags = argparse.ArgumentParser("python -m minillm.document", add_help=False, allow_abbrev=False)
    flags.add_argument("--section", choices=["4.3.2"])
    flags.add_argument("--out", type=Path)
    own, rest = flags.parse_known_args(argv)
    if own.section:
        print(section_432())
        return 0
    if not rest or rest[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if rest else 2
    run = RunFolder(own.out or free_folder(finetune.RUNS, "document"))
    code = finetune.main(["document", *rest, "--out", str(run.path)])
    if not code:
        print(f"\n{continuations(run)}")
    return code


if __name__ == "__main__":
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8")
    cli.run(main)
