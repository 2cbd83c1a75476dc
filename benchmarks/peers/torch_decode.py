"""PyTorch's side of the generation benchmark: plain modules and a preallocated key-value cache, float32 or bfloat16.

Run in a process of its own; prints the same JSON line as benchmarks/decode_ours.py. int8 is dynamic quantisation of
the linear layers (torch.ao.quantization), PyTorch's own way on a CPU.
"""

import argparse
import json
import statistics
import time
import warnings

import torch
from torch import nn
from torch.nn import functional

VOCABULARY, CONTEXT, LAYERS, HEADS, WIDTH, PROMPT = 50304, 1024, 12, 12, 768, 16


class Layer(nn.Module):
    """Pre-norm attention with a cache, and feed-forward."""

    def __init__(self):
        super().__init__()
        self.attention_norm, self.feed_forward_norm = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.query_key_value, self.output = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x, cache, start):
        """x: (batch, time, width); cache: (2, batch, heads, context, d), written from position `start`."""
        batch, length, _ = x.shape
        joint = self.query_key_value(self.attention_norm(x)).view(batch, length, 3, HEADS, WIDTH // HEADS)
        q, k, v = joint.permute(2, 0, 3, 1, 4)
        stop = start + length
        cache[0, :, :, start:stop], cache[1, :, :, start:stop] = k, v
        keys, values = cache[:, :, :, :stop]
        heads = functional.scaled_dot_product_attention(q, keys, values, is_causal=length > 1)
        x = x + self.output(heads.transpose(1, 2).reshape(batch, length, WIDTH))
        return x + self.down(functional.gelu(self.up(self.feed_forward_norm(x)), approximate="tanh"))


class TorchGPT(nn.Module):
    """Embeddings, layers, a final norm and a head."""

    def __init__(self):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.layers = nn.ModuleList([Layer() for _ in range(LAYERS)])
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, VOCABULARY, bias=False)

    def forward(self, ids, caches, start):
        """Logits of the last position, (batch, vocabulary)."""
        x = self.tokens(ids) + self.positions.weight[start : start + ids.shape[1]]
        for layer, cache in zip(self.layers, caches, strict=True):
            x = layer(x, cache, start)
        return self.head(self.norm(x)[:, -1])


def main() -> None:
    """Time the greedy steps and print the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--weights", choices=["float32", "bfloat16", "int8"], default="float32")
    parser.add_argument("--tokens", type=int, default=30)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    model, dtype = TorchGPT().eval(), torch.float32
    if arguments.weights == "bfloat16":
        model, dtype = model.bfloat16(), torch.bfloat16
    elif arguments.weights == "int8":
        model = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    caches = torch.zeros(LAYERS, 2, arguments.batch, HEADS, CONTEXT, WIDTH // HEADS, dtype=dtype)
    ids, start, seconds = torch.randint(0, VOCABULARY, (arguments.batch, PROMPT)), 0, []
    with torch.inference_mode():
        for _ in range(arguments.tokens + 1):
            begin = time.perf_counter()
            chosen = model(ids, caches, start).argmax(-1)[:, None]
            start, ids = start + ids.shape[1], chosen
            seconds.append(time.perf_counter() - begin)
    median = statistics.median(seconds[1:])
    result = {"peer": f"torch {torch.__version__}", "median_s": median, "min_s": min(seconds[1:])}
    print(json.dumps({**result, "tokens_per_s": arguments.batch / median}))


if __name__ == "__main__":
    main()
