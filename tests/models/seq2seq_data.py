"""What the encoder-decoder's tests share: small models with weights that matter, and sentences of uneven length."""

from functools import cache

import numpy as np

import minillm as ml
from minillm.models import Seq2Seq, Seq2SeqConfig, teacher_forcing
from minillm.optim import AdamW

PAD, START, END = 0, 1, 2
SMALL = {
    "vocab_size": 17,
    "context_length": 12,
    "n_encoder_layer": 2,
    "n_decoder_layer": 2,
    "n_head": 4,
    "d_model": 16,
    "dropout": 0.0,
}
STYLES = {
    "pre": {},
    "2017": {"norm": "post", "label_smoothing": 0.1},
    "learned, a vocabulary each": {"position": "learned", "source_vocab_size": 19, "n_encoder_layer": 1},
    "rms, swiglu, untied": {
        "normalization": "rms_norm",
        "activation": "swiglu",
        "d_ff": 24,
        "bias": False,
        "tie_weights": False,
        "label_smoothing": 0.2,
    },
    "copying": {"copying": True, "label_smoothing": 0.1},
}


def make(style="pre", seed=0, **options):
    """A small model whose weights are large enough for every part to matter."""
    ml.seed(0)
    model = Seq2Seq(Seq2SeqConfig(**{**SMALL, **STYLES[style], **options}))
    rng = np.random.default_rng(seed)
    for p in model.parameters():
        p.mutable()[...] = rng.normal(size=p.shape) * 0.3 + (1 if p.ndim == 1 else 0)
    return model


def sentences(lengths, vocab_size=17, seed=1, end=False):
    """Rows of random tokens, padded behind: (batch, longest), with the end id behind each if asked for."""
    rng = np.random.default_rng(seed)
    ids = np.full((len(lengths), max(lengths) + end), PAD)
    for row, length in zip(ids, lengths, strict=True):
        row[:length] = rng.integers(3, vocab_size, size=length)
        if end:
            row[length] = END
    return ids


@cache
def half_trained(vocab_size=17, seed=0):
    """A float64 model that has begun to learn to reverse: unsure, but its targets end, and follow their sources.

    Models with random weights end at once or never, whatever they read. Shared by tests: not to be changed.
    """
    ml.seed(seed)
    options = {**SMALL, "vocab_size": vocab_size, "n_encoder_layer": 1, "norm": "post", "dtype": "float64"}
    model = Seq2Seq(Seq2SeqConfig(**options))
    optimizer = AdamW(model.parameters(), lr=5e-3)
    rng = np.random.default_rng(seed)
    for step in range(60):
        lengths = rng.integers(1, 7, size=16)
        source = sentences(lengths, vocab_size, seed=[seed, step])
        target = np.full((16, 7), PAD)
        for row, ids, length in zip(target, source, lengths, strict=True):
            row[: length + 1] = [*ids[:length][::-1], END]
        optimizer.zero_grad()
        model.loss(source, *teacher_forcing(target, model.config)).backward()
        optimizer.step()
    model.zero_grad()
    return model.eval()
