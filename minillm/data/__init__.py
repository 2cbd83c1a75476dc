"""Text and what a model learns from it: corpora, cleaning, splits, token files, batches."""

from minillm.data.batches import batch, windows
from minillm.data.cleaning import clean, cleaned
from minillm.data.corpora import CORPORA, Corpus, load
from minillm.data.splits import split_texts
from minillm.data.tokens import TokenStream, prepare

__all__ = ["CORPORA", "Corpus", "TokenStream", "batch", "clean", "cleaned", "load", "prepare", "split_texts", "windows"]
