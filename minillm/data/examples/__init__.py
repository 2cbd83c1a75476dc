"""Examples to fine-tune on: readers of the usual file formats, the chat template, padding and batches.

pairs          parallel text, to translate                   Pair
summaries      texts and their summaries                     Pair
labelled       texts with a class                            Labelled
questions      answers to choose, or to find in a text       Choice, Extract
instructions   tasks with their answers                      Instruction
dialogues      conversations of many turns                   lists of Turn
chat_template  turns as token ids, with a mark where the loss counts
padding        batches of unequal sequences
splitting      training and validation examples
"""

from minillm.data.examples.chat_template import Turn, next_tokens, prompt, render
from minillm.data.examples.dialogues import read_dialogues
from minillm.data.examples.instructions import Instruction, read_instructions
from minillm.data.examples.labelled import (
    Labelled,
    LabelledSet,
    read_class_files,
    read_class_folders,
    read_csv,
    read_labelled,
    read_tsv,
    stratified,
)
from minillm.data.examples.padding import Bucketed, fitting, pad
from minillm.data.examples.pairs import Pair, read_aligned, read_table, split_pairs
from minillm.data.examples.questions import Choice, Extract, Span, read_mctest, read_squad
from minillm.data.examples.splitting import split
from minillm.data.examples.summaries import read_summaries, read_titles

__all__ = [
    "Bucketed",
    "Choice",
    "Extract",
    "Instruction",
    "Labelled",
    "LabelledSet",
    "Pair",
    "Span",
    "Turn",
    "fitting",
    "next_tokens",
    "pad",
    "prompt",
    "read_aligned",
    "read_class_files",
    "read_class_folders",
    "read_csv",
    "read_dialogues",
    "read_instructions",
    "read_labelled",
    "read_mctest",
    "read_squad",
    "read_summaries",
    "read_table",
    "read_titles",
    "read_tsv",
    "render",
    "split",
    "split_pairs",
    "stratified",
]
