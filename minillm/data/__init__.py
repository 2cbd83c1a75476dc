"""Text and what a model learns from it: corpora, cleaning, splits, token files, batches."""

from minillm.data.batches import batch, windows
from minillm.data.cleaning import clean, cleaned
from minillm.data.corpora import CORPORA, Corpus, load
from minillm.data.long_range import Recall
from minillm.data.splits import split_texts
from minillm.data.tokens import TokenStream, prepare
from minillm.data.word_vectors import Coverage, WordVectors, fill_embedding, read_word_vectors

__all__ = [
    "CORPORA", "Corpus", "Coverage", "Recall", "TokenStream", "WordVectors", "batch", "clean", "cleaned",
    "fill_embedding", "load", "prepare", "read_word_vectors", "split_texts", "windows",
]  # fmt: skip
