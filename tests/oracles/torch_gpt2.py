"""GPT-2 in torch as OpenAI wrote it: x W + b with W (in, out), query, key and value in one; Hugging Face's names."""

import torch
from torch.nn import functional as F


def gpt2_logits(state, ids, n_head, activation=lambda x: F.gelu(x, approximate="tanh")):
    """state: names without "transformer." to tensors; ids: (batch, time). Returns (batch, time, vocab_size)."""

    def norm(name, x):
        return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], 1e-5)

    def conv1d(name, x):
        return x @ state[f"{name}.weight"] + state[f"{name}.bias"]

    time = ids.shape[1]
    future = torch.ones(time, time, dtype=torch.bool).triu(1)
    x = state["wte.weight"][ids] + state["wpe.weight"][:time]
    n = 0
    while f"h.{n}.ln_1.weight" in state:
        joined = conv1d(f"h.{n}.attn.c_attn", norm(f"h.{n}.ln_1", x))
        q, k, v = (part.unflatten(-1, (n_head, -1)).transpose(1, 2) for part in joined.chunk(3, dim=-1))
        scores = (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(future, float("-inf"))
        heads = scores.softmax(-1) @ v
        x = x + conv1d(f"h.{n}.attn.c_proj", heads.transpose(1, 2).flatten(2))
        x = x + conv1d(f"h.{n}.mlp.c_proj", activation(conv1d(f"h.{n}.mlp.c_fc", norm(f"h.{n}.ln_2", x))))
        n += 1
    return norm("ln_f", x) @ state.get("lm_head.weight", state["wte.weight"]).T
