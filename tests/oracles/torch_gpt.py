"""GPT written with torch's own layers, attention and losses: a twin whose parameters have the names of ours.

`load_state_dict` takes minillm's arrays as they are, so any difference in logits, loss or gradients is a difference
in the mathematics of one of the two.
"""

import torch
from torch import nn
from torch.nn import functional as F

ACTIVATIONS = {
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
}


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.n_head, self.n_kv_head = config.n_head, config.n_kv_head or config.n_head
        self.d_head = config.d_model // config.n_head
        self.turned = config.position == "rotary"
        self.query = nn.Linear(config.d_model, self.n_head * self.d_head, config.bias)
        self.key = nn.Linear(config.d_model, self.n_kv_head * self.d_head, config.bias)
        self.value = nn.Linear(config.d_model, self.n_kv_head * self.d_head, config.bias)
        self.output = nn.Linear(config.d_model, config.d_model, config.bias)

    def forward(self, x):
        batch, time, _ = x.shape
        q, k, v = (f(x).view(batch, time, -1, self.d_head).transpose(1, 2) for f in (self.query, self.key, self.value))
        if self.turned:
            q, k = turn(q), turn(k)
        k, v = (z.repeat_interleave(self.n_head // self.n_kv_head, dim=1) for z in (k, v))
        heads = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.output(heads.transpose(1, 2).reshape(batch, time, -1))


def turn(x):
    """Rotary positions: features 2i and 2i+1 as a complex number, times e^(i pos 10000^(-2i/d))."""
    angle = torch.outer(
        torch.arange(x.shape[2]), 10000.0 ** -(torch.arange(0, x.shape[3], 2, dtype=torch.float64) / x.shape[3])
    )
    pairs = torch.view_as_complex(x.double().reshape(*x.shape[:-1], -1, 2)) * torch.polar(torch.ones_like(angle), angle)
    return torch.view_as_real(pairs).reshape(x.shape).to(x.dtype)


class FeedForward(nn.Module):
    def __init__(self, config):
        super().__init__()
        inner = config.d_ff or 4 * config.d_model
        self.up = nn.Linear(config.d_model, inner, config.bias)
        self.down = nn.Linear(inner, config.d_model, config.bias)
        if config.activation == "swiglu":
            self.gate = nn.Linear(config.d_model, inner, config.bias)
        self.activation = config.activation

    def forward(self, x):
        if self.activation == "swiglu":
            return self.down(F.silu(self.gate(x)) * self.up(x))
        return self.down(ACTIVATIONS[self.activation](self.up(x)))


class Residual(nn.Module):
    def __init__(self, config, sublayer):
        super().__init__()
        self.norm, self.sublayer, self.order = norm(config), sublayer, config.norm

    def forward(self, x):
        return x + self.sublayer(self.norm(x)) if self.order == "pre" else self.norm(x + self.sublayer(x))


class Layer(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.attention = Residual(config, Attention(config))
        self.feed_forward = Residual(config, FeedForward(config))

    def forward(self, x):
        return self.feed_forward(self.attention(x))


class LearnedPositions(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.embedding = nn.Embedding(config.context_length, config.d_model)

    def forward(self, x):
        return x + self.embedding.weight[: x.shape[1]]


class TorchGPT(nn.Module):
    """config: a minillm GPTConfig without dropout."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.d_model)
        if config.position == "learned":
            self.positions = LearnedPositions(config)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.n_layer))
        if config.norm == "pre":
            self.norm = norm(config)
        if not config.tie_weights:
            self.head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.to(getattr(torch, config.dtype))

    def features(self, ids):
        """(batch, time, d_model), of (batch, time) ids."""
        x = self.token_embedding(ids)
        if self.config.position == "learned":
            x = self.positions(x)
        elif self.config.position == "sinusoidal":
            x = x + waves(x.shape[1], x.shape[2]).to(x.dtype)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x) if self.config.norm == "pre" else x

    def forward(self, ids, targets):
        """Logits, and the mean cross-entropy, of (batch, time) ids."""
        x = self.features(ids)
        logits = x @ self.token_embedding.weight.T if self.config.tie_weights else self.head(x)
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100)


def norm(config):
    if config.normalization == "rms_norm":
        return nn.RMSNorm(config.d_model, eps=1e-5)
    return nn.LayerNorm(config.d_model, bias=config.bias)


def waves(length, d):
    """PE(pos, 2i) = sin(pos / 10000^(2i/d)), PE(pos, 2i+1) = cos(the same), element by element."""
    rows = []
    for pos in range(length):
        angles = [torch.tensor(pos / 10000 ** ((i - i % 2) / d), dtype=torch.float64) for i in range(d)]
        rows.append(torch.stack([torch.cos(a) if i % 2 else torch.sin(a) for i, a in enumerate(angles)]))
    return torch.stack(rows)


def twin_of(model):
    """A TorchGPT with the weights of a minillm GPT."""
    twin = TorchGPT(model.config)
    twin.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in model.state_dict().items()})
    return twin
