"""Classify texts without training: `python -m minillm.zero_shot MODEL --labels ... (--data ... | --input FILE)`.

    python -m minillm.zero_shot MINILM --data ag_news.csv --names World Sports Business Sci/Tech \\
        --labels "politics and war" "sports" "business and markets" "science and technology"
    python -m minillm.zero_shot runs/gpt --labels good bad --template "{text} This is {label}." --input reviews.txt

MODEL is a folder with a sentence encoder (a BERT's config.json, model.safetensors, vocab.txt): the class whose
description is nearest to the text. Or a run of `python -m minillm.train`: the class whose words are likeliest in the
template.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minillm import cli
from minillm.baselines import majority_class
from minillm.data.examples import Labelled, read_labelled, stratified
from minillm.data.examples.reading import read_lines
from minillm.errors import CheckpointError, ConfigError
from minillm.memory import keep_freed_memory
from minillm.metrics.classification import accuracy, macro_scores
from minillm.models import load_bert
from minillm.tasks.zero_shot import TEMPLATE, likelihoods, similarities
from minillm.training.run import RunFolder
from minillm.training.trained import load_run

ACCEPTED = (
    "the folder of a published sentence encoder (a BERT's config.json, model.safetensors and vocab.txt), or a run of "
    "python -m minillm.train"
)


def scores(arguments: argparse.Namespace, texts: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    """How well each label fits each text, (texts, labels), by the model that the command line names."""
    if (arguments.model / "config.json").exists():
        model, tokenizer = load_bert(arguments.model)
        return similarities(model, tokenizer, texts, labels, arguments.truncate)
    run = RunFolder(arguments.model)
    if run.task_kind or not run.config.exists():
        found = f"{run.path} is a run of {run.task_kind}" if run.task_kind else run.no_run
        raise CheckpointError(f"{found}; zero_shot takes {ACCEPTED}")
    trained = load_run(arguments.model)
    return likelihoods(
        trained.model,
        trained.tokenizer,
        texts,
        labels,
        arguments.template,
        calibrate=arguments.calibrate,
        truncate=arguments.truncate,
    )


def score_examples(arguments: argparse.Namespace) -> str:
    """Accuracy and macro-F1 on labelled texts, all or those held out of them, beside the majority class."""
    examples, names = read_labelled(arguments.data, arguments.names or ())
    labels = arguments.labels or names
    if len(labels) != len(names):
        raise ConfigError(f"{len(labels)} --labels for {len(names)} classes; give one for each, in this order: {names}")
    rest: list[Labelled] = []
    if arguments.held_out:
        rest, examples = stratified(examples, arguments.held_out, arguments.split_seed, names)
    true = np.array([example.label for example in examples])
    predicted = scores(arguments, [example.text for example in examples], labels).argmax(1)
    majority = majority_class([example.label for example in rest or examples], len(true))
    lines = [f"{len(true):,} texts, {len(names)} classes: {', '.join(labels)}"]
    for name, found in (("this model", predicted), ("majority class", majority)):
        f1 = macro_scores(true, found, len(names)).f1
        lines.append(f"{name:<15} accuracy {accuracy(true, found):.3f}, macro-F1 {f1:.3f}")
    return "\n".join(lines)


def label_lines(arguments: argparse.Namespace) -> str:
    """The label that fits each line of a file best."""
    if len(arguments.labels or ()) < 2:
        raise ConfigError("choosing takes two --labels or more")
    texts = sys.stdin.read().splitlines() if arguments.input == "-" else read_lines(arguments.input)
    return "\n".join(arguments.labels[i] for i in scores(arguments, texts, arguments.labels).argmax(1))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    flags = argparse.ArgumentParser(
        prog="python -m minillm.zero_shot", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = flags.add_argument
    add("model", type=Path, help="folder of a sentence encoder, or of a run of python -m minillm.train")
    add("--labels", nargs="+", metavar="TEXT", help="a description of each class (default: the names in the data)")
    texts = flags.add_mutually_exclusive_group(required=True)
    texts.add_argument("--input", metavar="FILE", help="print the label of each line; - reads standard input")
    texts.add_argument(
        "--data", nargs="+", metavar="FILE", help="labelled texts, as for minillm.finetune classification: print scores"
    )
    add("--names", nargs="+", metavar="NAME", help="names of the classes of a table that numbers them from 1, in order")
    add(
        "--held-out",
        type=int,
        default=0,
        metavar="N",
        help="score only the N texts that --n-test N holds out",
    )
    add("--split-seed", type=int, default=0, metavar="N", help="which those are (default: 0)")
    add("--template", default=TEMPLATE, help="for a run: where {text} and {label} stand (default: %(default)r)")
    add("--calibrate", action="store_true", help="for a run: less the label's likelihood without the text")
    add("--truncate", action="store_true", help="cut texts that are too long for the model (default: refuse them)")
    add("--debug", action="store_true", help="show the full traceback of an error")
    return flags


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code."""
    arguments = parser().parse_args(argv)
    keep_freed_memory()
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8")
    print(score_examples(arguments) if arguments.data else label_lines(arguments))
    return 0


if __name__ == "__main__":
    cli.run(main)
