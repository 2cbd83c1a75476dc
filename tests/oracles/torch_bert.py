"""BERT written with torch's own layers, attention and losses: a twin whose parameters have the names of ours.

`load_state_dict` takes minillm's arrays as they are, so any difference in logits, loss or gradients is a difference
in the mathematics of one of the two.
"""

import torch
from torch import nn
from torch.nn import functional as F

from tests.oracles.torch_gpt import ACTIVATIONS, turn


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.n_head, self.turned = config.n_head, config.position == "rotary"
        self.query, self.key, self.value, self.output = (nn.Linear(config.d_model, config.d_model) for _ in range(4))

    def forward(self, x, visible):
        q, k, v = (f(x).unflatten(-1, (self.n_head, -1)).transpose(1, 2) for f in (self.query, self.key, self.value))
        if self.turned:
            q, k = turn(q), turn(k)
        heads = F.scaled_dot_product_attention(q, k, v, attn_mask=visible)
        return self.output(heads.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    def __init__(self, config):
        super().__init__()
        inner = config.d_ff or 4 * config.d_model
        self.up, self.down = nn.Linear(config.d_model, inner), nn.Linear(inner, config.d_model)
        self.activation = ACTIVATIONS[config.activation]

    def forward(self, x):
        return self.down(self.activation(self.up(x)))


class Residual(nn.Module):
    def __init__(self, config, sublayer):
        super().__init__()
        self.norm, self.sublayer, self.order = norm(config), sublayer, config.norm

    def forward(self, x, *arguments):
        if self.order == "pre":
            return x + self.sublayer(self.norm(x), *arguments)
        return self.norm(x + self.sublayer(x, *arguments))


class Layer(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.attention = Residual(config, Attention(config))
        self.feed_forward = Residual(config, FeedForward(config))

    def forward(self, x, visible):
        return self.feed_forward(self.attention(x, visible))


class Positions(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.embedding = nn.Embedding(config.context_length, config.d_model)


class Head(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.dense, self.norm = nn.Linear(config.d_model, config.d_model), norm(config)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.activation = ACTIVATIONS[config.activation]


class TorchBERT(nn.Module):
    """config: a minillm BERTConfig without dropout."""

    def __init__(self, config):
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.positions = Positions(config) if config.position == "learned" else None
        self.segment_embedding = nn.Embedding(config.n_segment, config.d_model)
        self.embedding_norm = norm(config)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.n_layer))
        self.norm = norm(config) if config.norm == "pre" else nn.Identity()
        self.head = Head(config)
        self.to(getattr(torch, config.dtype))

    def features(self, ids, mask, segments):
        """(batch, time, d_model), of (batch, time) ids, booleans and segments."""
        x = self.token_embedding(ids)
        if self.positions:
            x = x + self.positions.embedding.weight[: ids.shape[1]]
        x = self.embedding_norm(x + self.segment_embedding(segments))
        for layer in self.layers:
            x = layer(x, mask[:, None, None, :])
        return self.norm(x)

    def forward(self, ids, targets, mask, segments):
        """Logits, and the mean cross-entropy at the targets that aren't -100."""
        x = self.head.activation(self.head.dense(self.features(ids, mask, segments)))
        logits = self.head.norm(x) @ self.token_embedding.weight.T + self.head.bias
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100)


def norm(config):
    return nn.LayerNorm(config.d_model, eps=config.norm_eps)


def twin_of(model):
    """A TorchBERT with the weights of a minillm BERT."""
    twin = TorchBERT(model.config)
    twin.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in model.state_dict().items()})
    return twin
