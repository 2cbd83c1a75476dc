"""The layers a Transformer is stacked from, with the norm before (pre) or after (post) each sublayer."""

from collections.abc import Callable
from typing import Any

from minillm.errors import ConfigError
from minillm.nn.attention import DecoderCache, KVCache, MultiHeadAttention
from minillm.nn.feed_forward import FeedForward
from minillm.nn.layers import Dropout
from minillm.nn.module import Module
from minillm.tensor import Tensor


class Residual(Module):
    """A sublayer f with its residual connection, norm and dropout.

    pre  (GPT-2; Xiong et al. 2020):     y = x + Dropout(f(Norm(x)))
    post (Vaswani et al. 2017, sec. 5.4): y = Norm(x + Dropout(f(x)))
    """

    def __init__(self, sublayer: Module, norm: Module, dropout: float, order: str):
        if order not in ("pre", "post"):
            raise ConfigError(f"norm={order!r} must be 'pre' or 'post'")
        self.norm, self.sublayer = norm, sublayer
        self.dropout, self.order = Dropout(dropout), order

    def forward(self, x: Tensor, **options: Any) -> Tensor:
        """x: (batch, time, d_model); options go to the sublayer."""
        drops = self.training and self.dropout.p > 0
        if self.order == "pre" and not drops:  # the sublayer's last product adds x
            return self.sublayer(self.norm(x), residual=x, **options)
        if self.order == "pre":
            return x + self.dropout(self.sublayer(self.norm(x), **options))
        return self.norm(self.dropout(self.sublayer(x, **options)), residual=x)


class EncoderLayer(Module):
    """Self-attention, then feed-forward.  [4.1.1-encoder]

    With a causal attention this is also the layer of a decoder-only model such as GPT.
    make_norm: builds a fresh norm for each sublayer.
    """

    def __init__(
        self,
        attention: MultiHeadAttention,
        feed_forward: FeedForward,
        make_norm: Callable[[], Module],
        dropout: float = 0.0,
        norm: str = "pre",
    ):
        self.attention = Residual(attention, make_norm(), dropout, norm)
        self.feed_forward = Residual(feed_forward, make_norm(), dropout, norm)

    def forward(self, x: Tensor, mask: Any = None, cache: KVCache | None = None) -> Tensor:
        """x: (batch, time, d_model); returns the same shape. mask: where a query may look, as in MultiHeadAttention.

        cache: keys and values of earlier positions, for generation; x is then what follows them.
        """
        return self.feed_forward(self.attention(x, mask=mask, cache=cache))


class DecoderLayer(Module):
    """Causal self-attention, cross-attention to the encoder's output, then feed-forward.  [4.1.1-decoder]"""

    def __init__(
        self,
        self_attention: MultiHeadAttention,
        cross_attention: MultiHeadAttention,
        feed_forward: FeedForward,
        make_norm: Callable[[], Module],
        dropout: float = 0.0,
        norm: str = "pre",
    ):
        self.self_attention = Residual(self_attention, make_norm(), dropout, norm)
        self.cross_attention = Residual(cross_attention, make_norm(), dropout, norm)
        self.feed_forward = Residual(feed_forward, make_norm(), dropout, norm)

    def forward(
        self, x: Tensor, memory: Tensor, mask: Any = None, memory_mask: Any = None, cache: DecoderCache | None = None
    ) -> Tensor:
        """x: (batch, time, d_model); memory: the encoder's output (batch, keys, d_model). Returns the shape of x.

        mask, memory_mask: where a query may look in x and in memory, as in MultiHeadAttention.
        cache: keys and values of earlier positions and of the memory, for generation; x is then what follows them.
        """
        x = self.self_attention(x, mask=mask, cache=cache.own if cache else None)
        x = self.cross_attention(x, memory=memory, mask=memory_mask, cache=cache.memory if cache else None)
        return self.feed_forward(x)
