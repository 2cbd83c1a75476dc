"""The encoder-decoder in torch's layers and loss, attention written out: a twin whose parameters have our names."""

import torch
from torch import nn
from torch.nn import functional as F

from tests.oracles.torch_gpt import FeedForward, LearnedPositions, norm, waves


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.d_head = config.d_model // config.n_head
        for name in ("query", "key", "value", "output"):
            setattr(self, name, nn.Linear(config.d_model, config.d_model, config.bias))

    def forward(self, x, memory, hidden):
        """hidden: booleans broadcast to (batch, heads, time, keys), True where a query may not look."""
        q, k, v = (
            f(z).unflatten(-1, (-1, self.d_head)).transpose(1, 2)
            for f, z in ((self.query, x), (self.key, memory), (self.value, memory))
        )
        scores = (q @ k.mT / self.d_head**0.5).masked_fill(hidden, -torch.inf)
        return self.output((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class Residual(nn.Module):
    def __init__(self, config, sublayer):
        super().__init__()
        self.norm, self.sublayer, self.order = norm(config), sublayer, config.norm

    def forward(self, x, *context):
        if self.order == "post":
            return self.norm(x + self.sublayer(x, *context))
        return x + self.sublayer(self.norm(x), *context)


class SelfAttention(Attention):
    def forward(self, x, hidden):
        return super().forward(x, x, hidden)


class EncoderLayer(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.attention = Residual(config, SelfAttention(config))
        self.feed_forward = Residual(config, FeedForward(config))

    def forward(self, x, padding):
        return self.feed_forward(self.attention(x, padding))


class DecoderLayer(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.self_attention = Residual(config, SelfAttention(config))
        self.cross_attention = Residual(config, Attention(config))
        self.feed_forward = Residual(config, FeedForward(config))

    def forward(self, x, memory, padding):
        future = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        return self.feed_forward(self.cross_attention(self.self_attention(x, future), memory, padding))


class CopyingHead(nn.Module):
    """By probabilities: the vocabulary's and the places' from one softmax, then summed for each word."""

    def __init__(self, config):
        super().__init__()
        self.query, self.key = (nn.Linear(config.d_model, config.d_model, bias=False) for _ in range(2))

    def forward(self, logits, x, memory, source, hidden):
        scores = (self.query(x) @ self.key(memory).mT / x.shape[-1] ** 0.5).masked_fill(hidden[:, None], -torch.inf)
        written, copied = torch.cat([logits, scores], -1).softmax(-1).split([logits.shape[-1], scores.shape[-1]], -1)
        log_total = torch.cat([logits, scores], -1).logsumexp(-1, keepdim=True)
        return (written + copied @ F.one_hot(source, logits.shape[-1]).to(x.dtype)).log() + log_total


class SelectiveRead(nn.Module):
    """One place after the other, in a loop."""

    def __init__(self, config):
        super().__init__()
        self.output = nn.Linear(config.d_model, config.d_model, bias=False)

    def forward(self, memory, inputs, source, hidden):
        total, count = torch.zeros(*inputs.shape, memory.shape[-1], dtype=memory.dtype), torch.zeros(*inputs.shape, 1)
        for j in range(source.shape[1]):
            here = ((inputs == source[:, j, None]) & ~hidden[:, j, None])[..., None]
            total, count = total + here * memory[:, j, None], count + here
        return self.output(total / count.clamp(min=1))


class TorchSeq2Seq(nn.Module):
    """config: a minillm Seq2SeqConfig without dropout."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.source_embedding = nn.Embedding(config.source_vocab_size or config.vocab_size, config.d_model)
        if not config.tie_weights or config.source_vocab_size:
            self.target_embedding = nn.Embedding(config.vocab_size, config.d_model)
        if config.position == "learned":
            self.source_positions, self.target_positions = LearnedPositions(config), LearnedPositions(config)
        self.encoder = nn.ModuleList(EncoderLayer(config) for _ in range(config.n_encoder_layer))
        self.decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.n_decoder_layer))
        if config.norm == "pre":
            self.encoder_norm, self.decoder_norm = norm(config), norm(config)
        if not config.tie_weights:
            self.head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        if config.copying:
            self.copying, self.selective_read = CopyingHead(config), SelectiveRead(config)
        self.to(getattr(torch, config.dtype))

    def forward(self, source, inputs, targets):
        """Logits (batch, time, vocab_size), and the mean cross-entropy."""
        config, embed = self.config, getattr(self, "target_embedding", self.source_embedding)
        padding = (source == config.pad_id)[:, None, None, :]
        memory = self.placed(self.source_embedding(source), "source")
        for layer in self.encoder:
            memory = layer(memory, padding)
        memory = self.encoder_norm(memory) if config.norm == "pre" else memory
        selected = self.selective_read(memory, inputs, source, source == config.pad_id) if config.copying else 0
        x = self.placed(embed(inputs), "target") + selected
        for layer in self.decoder:
            x = layer(x, memory, padding)
        x = self.decoder_norm(x) if config.norm == "pre" else x
        logits = x @ embed.weight.T if config.tie_weights else self.head(x)
        if config.copying:
            logits = self.copying(logits, x, memory, source, source == config.pad_id)
        smoothing = config.label_smoothing
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten(), label_smoothing=smoothing)

    def placed(self, x, side):
        if self.config.position == "learned":
            return getattr(self, f"{side}_positions")(x)
        return x * self.config.d_model**0.5 + waves(x.shape[1], x.shape[2]).to(x.dtype)


def twin_of(model):
    """A TorchSeq2Seq with the weights of a minillm Seq2Seq."""
    twin = TorchSeq2Seq(model.config)
    twin.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in model.state_dict().items()})
    return twin
