"""The encoder-decoder Transformer (Vaswani et al. 2017): reads a source sequence, writes a target.  [4.1.1-encoder]"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from minillm import ops, seeding
from minillm.errors import ConfigError, ShapeError
from minillm.models import seq2seq_decoding
from minillm.models.config import Numerics, check
from minillm.nn import (
    CopyingHead,
    DecoderCache,
    DecoderLayer,
    Dropout,
    Embedding,
    EncoderLayer,
    FeedForward,
    LayerNorm,
    LearnedPositions,
    Linear,
    Module,
    MultiHeadAttention,
    RMSNorm,
    SelectiveRead,
    SinusoidalPositions,
    smoothed_cross_entropy,
)
from minillm.ops.loss import IGNORED
from minillm.tensor import Tensor


@dataclass
class Seq2SeqConfig(Numerics):
    """The shape of an encoder-decoder model."""

    vocab_size: int = 8000
    """Number of token ids of the target, and of the source unless source_vocab_size is given."""
    source_vocab_size: int | None = None
    """Number of token ids of a source with a vocabulary of its own; if not given, both share one."""
    context_length: int = 256
    """Most tokens of a source, and most of a target."""
    n_encoder_layer: int = 3
    """Encoder layers, one above the other."""
    n_decoder_layer: int = 3
    """Decoder layers, one above the other."""
    n_head: int = 4
    """Attention heads of a layer."""
    d_model: int = 256
    """Width: features of a token's vector."""
    d_ff: int | None = None
    """Inner width of the feed-forward networks; 4 d_model if not given."""
    dropout: float = 0.1
    """Probability that an element is dropped in training."""
    bias: bool = True
    """Whether linear layers and layer norms have a bias."""
    norm: Literal["pre", "post"] = "pre"
    """Normalise before each sublayer ("pre") or after it ("post", the 2017 Transformer)."""
    normalization: Literal["layer_norm", "rms_norm"] = "layer_norm"
    """Which norm: shift and scale, or scale only."""
    activation: Literal["gelu", "gelu_tanh", "relu", "silu", "swiglu"] = "relu"
    """Of the feed-forward networks; relu is that of 2017, swiglu adds a gate."""
    position: Literal["learned", "sinusoidal"] = "sinusoidal"
    """How the model knows where a token stands: sinusoidal (2017) or learned, for source and target apart."""
    tie_weights: bool = True
    """One matrix for target embedding and output head, and for the source embedding if the vocabulary is shared."""
    copying: bool = False
    """Whether the model may also point at a word of the source and copy it (Gu et al. 2016); needs one vocabulary."""
    label_smoothing: float = 0.0
    """How much of each target's probability is spread over the whole vocabulary; 0.1 in 2017."""
    pad_id: int = 0
    """Fills the shorter rows of a batch, of sources and of targets."""
    start_id: int = 1
    """What the decoder reads first."""
    end_id: int = 2
    """What the decoder writes last."""
    dtype: Literal["float32", "bfloat16", "float64"] = "float32"
    """What is computed in: float32; bfloat16 (products of numbers rounded to it, weights and sums in float32); or
    float64, for checks."""

    def __post_init__(self) -> None:
        check(self, "vocab_size", "context_length", "n_encoder_layer", "n_decoder_layer", "n_head", "d_model", "d_ff")
        if self.source_size < 1:
            raise ConfigError(f"source_vocab_size={self.source_vocab_size} must be at least 1")
        if self.copying and self.source_vocab_size is not None:  # two vocabularies of one size are still two
            raise ConfigError(
                "copying=True needs one vocabulary for source and target; "
                f"leave out source_vocab_size={self.source_vocab_size}"
            )
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"label_smoothing={self.label_smoothing} must be at least 0 and below 1")
        self._check_special_ids()

    def _check_special_ids(self) -> None:
        ids = {name: getattr(self, name) for name in ("pad_id", "start_id", "end_id")}
        for name, token in ids.items():
            if not 0 <= token < self.vocab_size:
                raise ConfigError(f"{name}={token} must be one of the vocabulary's ids, 0 to {self.vocab_size - 1}")
        if not self.pad_id < self.source_size:
            raise ConfigError(f"pad_id={self.pad_id} must be one of the source's ids, 0 to {self.source_size - 1}")
        if len(set(ids.values())) < 3:
            raise ConfigError(f"pad_id, start_id and end_id must be three ids; got {', '.join(map(str, ids.values()))}")

    @property
    def source_size(self) -> int:
        """Number of token ids of the source."""
        return self.vocab_size if self.source_vocab_size is None else self.source_vocab_size


def teacher_forcing(target_ids: Any, config: Seq2SeqConfig) -> tuple[np.ndarray, np.ndarray]:
    """The decoder's inputs and targets, both (batch, time), of target sentences (batch, time).

    Each row of `target_ids` is a sentence, its end_id, then pad_id. In training the decoder reads the right tokens so
    far, whatever it would have said: start_id and the sentence, one place behind its targets. The targets are the
    sentence with its end_id, and -100, which doesn't count, at padding. ShapeError for ids that aren't (batch, time).
    """
    ids = _batch(target_ids, "target ids")
    start = np.full((len(ids), 1), config.start_id, ids.dtype)
    return np.concatenate([start, ids[:, :-1]], axis=1), np.where(ids == config.pad_id, IGNORED, ids)


class Seq2Seq(Module):
    """An encoder that sees the whole source, and a decoder that sees its own past and, by cross-attention, the memory:
    what the encoder made of the source.  [4.1.1-encoder] [4.1.1-decoder] [4.2.2]

    source: (batch, source_time) ids, pad_id behind the shorter ones; source_mask: the same shape, booleans, True at
    the tokens that are there (if not given: wherever source isn't pad_id). What stands at padding changes nothing.
    """

    def __init__(self, config: Seq2SeqConfig):
        self.config = config
        d_model, dtype, vocab_size = config.d_model, config.array_dtype, config.vocab_size
        # Times √d_model (Vaswani et al. 2017, section 3.4), a vector is about as large as the waves added to it.
        self.embedding_scale = math.sqrt(d_model) if config.position == "sinusoidal" else 1.0
        self.source_embedding = Embedding(config.source_size, d_model, dtype)
        self.target_embedding = Embedding(vocab_size, d_model, dtype)
        self.source_positions, self.target_positions = _positions(config), _positions(config)
        self.dropout = Dropout(config.dropout)
        self.encoder = [_encoder_layer(config) for _ in range(config.n_encoder_layer)]
        self.encoder_norm = _norm(config) if config.norm == "pre" else None
        self.decoder = [_decoder_layer(config) for _ in range(config.n_decoder_layer)]
        self.decoder_norm = _norm(config) if config.norm == "pre" else None
        self.head = Linear(d_model, vocab_size, bias=False, dtype=dtype, precision=config.precision)
        if config.tie_weights:
            self.head.weight = self.target_embedding.weight
            if config.source_vocab_size is None:
                self.source_embedding.weight = self.target_embedding.weight
        options = {"dtype": dtype, "precision": config.precision}
        self.copying = CopyingHead(d_model, **options) if config.copying else None
        self.selective_read = SelectiveRead(d_model, **options) if config.copying else None
        self._initialise()

    def forward(
        self, source: Any, inputs: Any, targets: Any = None, source_mask: Any = None
    ) -> tuple[Tensor, Tensor | None]:
        """inputs: (batch, time) ids the decoder reads; targets: the same shape, what it should say next (-100: doesn't
        count); both from `teacher_forcing`. Source and mask: see the class.

        Returns logits (batch, time, vocab_size), and the mean cross-entropy in nats (None without targets): in training
        with the configuration's label smoothing, in evaluation without, so that its exponential is the perplexity.
        """
        source_mask = self.mask_of(source, source_mask)
        memory = self.encode(source, source_mask)
        logits = self.logits(self.decode(inputs, memory, source, source_mask), memory, source, source_mask)
        if targets is None:
            return logits, None
        return logits, ops.cross_entropy(logits, np.asarray(targets), label_smoothing=self._smoothing)

    def loss(self, source: Any, inputs: Any, targets: Any, source_mask: Any = None) -> Tensor:
        """The mean cross-entropy that `forward` returns, without the logits: what training needs, in less memory."""
        if self.copying or not isinstance(self.head, Linear):  # copies, is quantized or has LoRA: more than a weight
            _, loss = self(source, inputs, targets, source_mask)
            assert loss is not None
            return loss
        source_mask = self.mask_of(source, source_mask)
        x = self.decode(inputs, self.encode(source, source_mask), source, source_mask)
        return smoothed_cross_entropy(x, self.head.weight, np.asarray(targets), self._smoothing, self.head.precision)

    def encode(self, source: Any, source_mask: Any = None) -> Tensor:
        """The memory: a vector for each token of the source that knows the others, (batch, source_time, d_model).

        Source and mask: see the class. ShapeError for a source that isn't (batch, time) or is longer than the
        context_length, and for a mask that doesn't fit; TokenError for an id outside the source's vocabulary.
        """
        source, mask = self._fitting(source, "source"), self.mask_of(source, source_mask)
        x = self.source_positions(self.source_embedding(source) * self.embedding_scale)
        x = self.dropout(self.config.stored(x))
        for layer in self.encoder:
            x = layer(x, mask=mask[:, None, None, :])
        return self.encoder_norm(x) if self.encoder_norm else x

    def decode(
        self, inputs: Any, memory: Tensor, source: Any, source_mask: np.ndarray, cache: list[DecoderCache] | None = None
    ) -> Tensor:
        """What the head scores, (batch, time, d_model), of decoder inputs (batch, time).

        memory, source_mask: from `encode` and `mask_of` of this source, a row for each row of inputs.
        source: its ids, (batch, source_time); only a model that copies reads them.
        cache: from `new_cache`, for generation: inputs are then the tokens after those it has seen.
        ShapeError for inputs that aren't (batch, time), have more or fewer rows than memory, or are longer than the
        context_length or the cache's capacity; TokenError for an id outside the target's vocabulary.
        """
        seen = cache[0].length if cache else 0
        inputs = self._fitting(inputs, "target", seen)
        if len(inputs) != len(memory):
            raise ShapeError(f"Seq2Seq: {len(inputs)} targets for {len(memory)} sources; each source needs its own")
        x = self.target_embedding(inputs) * self.embedding_scale
        if self.selective_read:
            x = x + self.selective_read(memory, inputs, source, source_mask)
        x = self.dropout(self.config.stored(self.target_positions(x, seen)))
        for i, layer in enumerate(self.decoder):
            x = layer(x, memory, memory_mask=source_mask[:, None, None, :], cache=cache[i] if cache else None)
        return self.decoder_norm(x) if self.decoder_norm else x

    def logits(self, x: Tensor, memory: Tensor, source: Any, source_mask: np.ndarray) -> Tensor:
        """Scores of every token, (batch, time, vocab_size), of x, which `decode` made of this memory.

        Arguments as in `decode`; memory, source and source_mask are read by a model that copies, and by no other.
        """
        logits = self.head(x)
        return self.copying(logits, x, memory, source, source_mask) if self.copying else logits

    def mask_of(self, source: Any, source_mask: Any = None) -> np.ndarray:
        """Where the source's tokens are, (batch, source_time) booleans; ShapeError for a mask that doesn't fit."""
        source = _batch(source, "source")
        mask = source != self.config.pad_id if source_mask is None else np.asarray(source_mask)
        if mask.shape != source.shape or mask.dtype != bool:
            raise ShapeError(
                f"Seq2Seq: the source mask must be booleans of shape {source.shape}, True at tokens that are there; "
                f"got {mask.dtype} of shape {mask.shape}"
            )
        return mask

    def new_cache(self, memory: Tensor, capacity: int | None = None) -> list[DecoderCache]:
        """An empty cache for each decoder layer, for at most `capacity` tokens (context_length if not given)."""
        return [DecoderCache(capacity or self.config.context_length, memory.shape[1]) for _ in self.decoder]

    def generate(
        self, source: Any, max_new_tokens: int | Sequence[int], *, beam_width: int | None = None, **options: Any
    ) -> list[list[int]]:
        """The target of every row of `source`, by greedy decoding or, with a beam_width, by beam search.

        Returns the ids without start and end. Options: see `seq2seq_decoding.greedy` and `beam_search`; ConfigError
        for a length_penalty without a beam_width.
        """
        if beam_width is None:
            if "length_penalty" in options:
                raise ConfigError(
                    f"length_penalty={options['length_penalty']} is beam search's: leave it out, or give a beam_width"
                )
            return seq2seq_decoding.greedy(self, source, max_new_tokens, **options)
        return seq2seq_decoding.beam_search(self, source, beam_width, max_new_tokens, **options)

    @property
    def _smoothing(self) -> float:
        return self.config.label_smoothing if self.training else 0.0

    def _fitting(self, ids: Any, name: str, seen: int = 0) -> np.ndarray:
        ids = _batch(ids, name)
        if seen + ids.shape[1] > self.config.context_length:
            raise ShapeError(
                f"Seq2Seq: a {name} of {seen + ids.shape[1]} tokens is more than the context of "
                f"{self.config.context_length}; cut it into sentences, or train with a longer context_length"
            )
        return ids

    def _initialise(self) -> None:
        """Embeddings N(0, 1/d_model). Sinusoidal positions scale them to variance 1, learned ones don't; as the head's
        rows, they give logits of about variance 1. A matrix that both embeddings share keeps its second draw.

        Linear layers keep their own start, which keeps the variance, too (`nn.Linear`)."""
        for embedding in (self.source_embedding, self.target_embedding):
            weight = embedding.weight
            draw = seeding.generator("init").standard_normal(weight.shape, np.float32)
            weight.assign(draw / np.float32(math.sqrt(self.config.d_model)))


def _batch(ids: Any, name: str) -> np.ndarray:
    ids = np.asarray(ids)
    if ids.ndim != 2 or not ids.shape[1]:
        raise ShapeError(f"Seq2Seq: {name} must be (batch, time) token ids, at least one a row; got shape {ids.shape}")
    return ids


def _encoder_layer(config: Seq2SeqConfig) -> EncoderLayer:
    return EncoderLayer(_attention(config), _feed_forward(config), lambda: _norm(config), config.dropout, config.norm)


def _decoder_layer(config: Seq2SeqConfig) -> DecoderLayer:
    own, cross = _attention(config, causal=True), _attention(config)
    return DecoderLayer(own, cross, _feed_forward(config), lambda: _norm(config), config.dropout, config.norm)


def _attention(config: Seq2SeqConfig, causal: bool = False) -> MultiHeadAttention:
    return MultiHeadAttention(
        config.d_model, config.n_head, causal=causal, dropout=config.dropout, **_linear_options(config)
    )


def _feed_forward(config: Seq2SeqConfig) -> FeedForward:
    d_ff = 4 * config.d_model if config.d_ff is None else config.d_ff
    return FeedForward(config.d_model, d_ff, config.activation, **_linear_options(config))


def _linear_options(config: Seq2SeqConfig) -> dict[str, Any]:
    return {"bias": config.bias, "dtype": config.array_dtype, "precision": config.precision}


def _norm(config: Seq2SeqConfig) -> Module:
    if config.normalization == "rms_norm":
        return RMSNorm(config.d_model, dtype=config.array_dtype)
    return LayerNorm(config.d_model, config.bias, dtype=config.array_dtype)


def _positions(config: Seq2SeqConfig) -> Module:
    kind = LearnedPositions if config.position == "learned" else SinusoidalPositions
    return kind(config.context_length, config.d_model, config.array_dtype)
