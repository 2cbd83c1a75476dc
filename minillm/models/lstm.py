"""LSTM: a recurrent language model, what a Transformer is compared with where the answer lies far back.  [3.2.2-clm]

A state of fixed size is carried from token to token, so a token's cost doesn't grow with what came before, but all that
is to be remembered must pass through every step (Hochreiter & Schmidhuber 1997; the forget gate: Gers et al. 2000).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from minillm import ops
from minillm.errors import ShapeError
from minillm.models import decoding
from minillm.models.config import check
from minillm.nn import Dropout, Embedding, Linear, Module, QuantizedLinear
from minillm.tensor import Tensor


@dataclass
class LSTMConfig:
    """The shape of an LSTM language model."""

    vocab_size: int = 65
    """Number of token ids."""
    context_length: int = 64
    """Most tokens of a training window, and most that generation reads again; the state itself has no limit."""
    n_layer: int = 2
    """Recurrent layers, one above the other."""
    d_model: int = 128
    """Width of a token's vector and of every layer's state."""
    dropout: float = 0.0
    """Probability that an element is dropped in training: between layers, not between steps (Zaremba et al. 2014)."""
    tie_weights: bool = True
    """Use the token embedding as the output head's weight, too (Press & Wolf 2017)."""
    dtype: Literal["float32", "float64"] = "float32"
    """Of weights and activations; float64 for checks."""

    def __post_init__(self) -> None:
        check(self, "vocab_size", "context_length", "n_layer", "d_model")


class LSTMState:
    """What a layer remembers of the tokens it has read: h and c, both (batch, d_model). No gradient flows through."""

    def __init__(self) -> None:
        self.length = 0
        """Tokens read."""
        self.h: Tensor | None = None
        self.c: Tensor | None = None

    def select(self, rows: Any) -> None:
        """Go on with these rows of the batch (a beam search keeps some and repeats others)."""
        assert self.h is not None and self.c is not None
        self.h, self.c = Tensor(self.h.numpy()[rows]), Tensor(self.c.numpy()[rows])


class LSTMLayer(Module):
    """One recurrent layer, from each step's input x_t and the state before it, h and c of step t-1 (0 at the first):

        i, f, g, o = x_t W_xᵀ + b + h W_hᵀ, cut in four     gates: input, forget, candidate, output
        c_t = σ(f) ⊙ c + σ(i) ⊙ tanh(g)                     what is kept, and what is new
        h_t = σ(o) ⊙ tanh(c_t)                              what is shown

    The forget gate's bias starts at 1: a layer that hasn't learned yet remembers (Jozefowicz et al. 2015, section 2.2).
    """

    def __init__(self, d_in: int, d_model: int, dtype: Any = "float32"):
        self.d_model = d_model
        self.input = Linear(d_in, 4 * d_model, dtype=dtype)
        self.hidden = Linear(d_model, 4 * d_model, bias=False, dtype=dtype)
        assert self.input.bias is not None
        self.input.bias.mutable()[d_model : 2 * d_model] = 1

    def forward(self, x: Tensor, state: LSTMState | None = None) -> Tensor:
        """x: (batch, time, d_in); state: where to go on from, and where to leave the last step's.

        Returns h of every step, (batch, time, d_model).
        """
        batch, time, _ = x.shape
        h = c = Tensor(np.zeros((batch, self.d_model), x.dtype))
        if state and state.h is not None and state.c is not None:
            h, c = state.h, state.c
        inputs = self.input(x).transpose(
            1, 0, 2
        )  # of all steps in one product; only h W_hᵀ must wait for the step before
        outputs = []
        for x_t in ops.split(inputs, sections=time):
            gates = self.hidden(h, residual=x_t.reshape(batch, 4 * self.d_model))
            i, f, g, o = ops.split(gates, sections=4, axis=1)
            c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
            h = ops.sigmoid(o) * ops.tanh(c)
            outputs.append(h)
        if state:
            state.h, state.c, state.length = Tensor(h.numpy()), Tensor(c.numpy()), state.length + time
        return ops.stack(outputs, axis=1)


class LSTM(Module):
    """Token embedding, n_layer recurrent layers, and a head that scores each next token."""

    def __init__(self, config: LSTMConfig):
        self.config = config
        self.token_embedding = Embedding(config.vocab_size, config.d_model, config.dtype)
        self.layers = [LSTMLayer(config.d_model, config.d_model, config.dtype) for _ in range(config.n_layer)]
        self.dropout = Dropout(config.dropout)
        self.head = Linear(config.d_model, config.vocab_size, bias=False, dtype=config.dtype)
        if config.tie_weights:
            self.head.weight = self.token_embedding.weight

    def forward(
        self, ids: Any, targets: Any = None, cache: list[LSTMState] | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """ids: (batch, time) integers; targets: the same shape, each position's next token (-100: doesn't count).

        cache: from `new_cache`, for generation: ids are then the tokens after those it has seen.
        Returns logits (batch, time, vocab_size), and the mean cross-entropy in nats (None without targets).
        """
        logits = self.head(self.features(ids, cache))
        return logits, None if targets is None else ops.cross_entropy(logits, np.asarray(targets))

    def loss(self, ids: Any, targets: Any) -> Tensor:
        """The mean cross-entropy that `forward` returns, without the logits: what training needs, in less memory."""
        if isinstance(self.head, QuantizedLinear):
            return ops.cross_entropy(self(ids)[0], np.asarray(targets))
        return ops.linear_cross_entropy(self.features(ids), self.head.weight, np.asarray(targets))

    def features(self, ids: Any, cache: list[LSTMState] | None = None) -> Tensor:
        """What the head scores: (batch, time, d_model). Arguments as in `forward`; ShapeError for others."""
        ids = np.asarray(ids)
        if ids.ndim != 2 or not ids.shape[1]:
            raise ShapeError(
                f"LSTM: token ids must be (batch, time), at least one token; got shape {ids.shape} "
                "(add a batch axis: ids[None])"
            )
        x = self.dropout(self.token_embedding(ids))
        for i, layer in enumerate(self.layers):
            x = self.dropout(layer(x, cache[i] if cache else None))
        return x

    def new_cache(self) -> list[LSTMState]:
        """An empty state for each layer."""
        return [LSTMState() for _ in self.layers]

    def generate(self, ids: Any, max_new_tokens: int, **options: Any) -> np.ndarray:
        """Continue (time,) or (1, time) ids; returns the new ids. Options: see `decoding.generate`."""
        return np.fromiter(self.stream(ids, max_new_tokens, **options), dtype=np.int64)

    def generate_batch(self, ids: Any, max_new_tokens: int, **options: Any) -> list[list[int]]:
        """Continue every row of (batch, time) ids at once. Options: see `decoding.generate_batch`."""
        return decoding.generate_batch(self, ids, max_new_tokens, **options)

    def stream(self, ids: Any, max_new_tokens: int, **options: Any) -> Iterator[int]:
        """As `generate`, token by token as they are drawn."""
        return decoding.generate(self, ids, max_new_tokens, **options)
