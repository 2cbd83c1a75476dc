"""PyTorch's side of the training-step benchmark: the same GPT, stepped the way a PyTorch user would.

Run in a process of its own; prints the same JSON line as benchmarks/ours.py, and with --device cuda as
benchmarks/gpu/ours.py. Modes: eager (float32), bf16 (autocast), compile and compile-bf16 (torch.compile).
"""

import argparse
import contextlib
import json
import statistics
import time

import torch
from torch import nn
from torch.nn import functional

from benchmarks.timing import peak_megabytes

SHAPES = {
    "char": (12, 64, 65, 4, 4, 128),
    "char-large": (16, 256, 65, 6, 6, 384),
    "gpt2": (4, 64, 50304, 12, 12, 768),
    "gpt2-long": (1, 1024, 50304, 12, 12, 768),
}


class Layer(nn.Module):
    """Pre-norm attention and feed-forward; one matrix product for queries, keys and values."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.attention_norm, self.feed_forward_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value, self.output = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        """x: (batch, time, width)."""
        batch, time_, width = x.shape
        joint = self.query_key_value(self.attention_norm(x)).view(batch, time_, 3, self.heads, width // self.heads)
        q, k, v = joint.permute(2, 0, 3, 1, 4)
        heads = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.output(heads.transpose(1, 2).reshape(batch, time_, width))
        return x + self.down(functional.gelu(self.up(self.feed_forward_norm(x)), approximate="tanh"))


class TorchGPT(nn.Module):
    """Token and position embeddings, the layers, a final norm, a head tied to the embedding."""

    def __init__(self, vocabulary: int, context: int, layers: int, heads: int, width: int):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.layers = nn.ModuleList([Layer(width, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        for p in self.parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=0.02)

    def forward(self, ids, targets):
        """The mean cross-entropy."""
        x = self.tokens(ids) + self.positions.weight[: ids.shape[1]]
        for layer in self.layers:
            x = layer(x)
        logits = functional.linear(self.norm(x), self.tokens.weight)
        return functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def main() -> None:
    """Parse the command line, time the steps, print the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="char")
    parser.add_argument("--mode", choices=["eager", "bf16", "compile", "compile-bf16"], default="eager")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--batch", type=int, help="texts of a batch; the shape's if not given")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)

    batch, context, vocabulary, layers, heads, width = SHAPES[arguments.shape]
    batch, device = arguments.batch or batch, arguments.device
    model = TorchGPT(vocabulary, 1024 if vocabulary > 1000 else context, layers, heads, width).to(device)
    run = torch.compile(model) if "compile" in arguments.mode else model
    groups = [
        {"params": [p for p in model.parameters() if p.dim() >= 2], "weight_decay": 0.1},
        {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=6e-4, betas=(0.9, 0.95), fused=True)
    ids, targets = torch.randint(0, vocabulary, (2, batch, context)).to(device)

    seconds = []
    for _ in range(arguments.warmup + arguments.steps):
        start = time.perf_counter()
        autocast = torch.autocast(device, torch.bfloat16) if "bf16" in arguments.mode else contextlib.nullcontext()
        with autocast:
            loss = run(ids, targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    timed = seconds[arguments.warmup :]
    median = statistics.median(timed)
    result = {
        "peer": f"torch {torch.__version__}",
        "shape": arguments.shape,
        "mode": arguments.mode,
        "device": device,
        "batch": batch,
        "median_s": median,
        "min_s": min(timed),
        "tokens_per_s": batch * context / median,
        "loss": loss.item(),
        "peak_mb": torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else peak_megabytes(),
    }
    if device == "cuda":
        free, total = torch.cuda.mem_get_info()
        result["taken_mb"] = (total - free) / 2**20
    print(json.dumps(result))


if __name__ == "__main__":
    main()
