"""Texts generated side by side are those generated one by one."""

import numpy as np
import pytest

import minillm as ml
from minillm.errors import ShapeError
from minillm.models import GPT, GPTConfig


@pytest.mark.parametrize(
    "options", [{"temperature": 0}, {"temperature": 1.0, "seed": 5}, {"top_k": 4, "use_cache": False}]
)
def test_rows_are_what_each_would_be_alone(options):
    ml.seed(0)
    model = GPT(GPTConfig(vocab_size=11, context_length=8, n_layer=2, n_head=2, d_model=16)).eval()
    prompts = np.random.default_rng(0).integers(0, 11, (5, 3))
    for stop_ids in (frozenset(), frozenset({2, 7})):
        texts = model.generate_batch(prompts, 12, stop_ids=stop_ids, **options)
        for i, prompt in enumerate(prompts):
            alone = {**options, "seed": options.get("seed", 0) + i}
            assert texts[i] == model.generate(prompt, 12, stop_ids=stop_ids, **alone).tolist()


def test_prompts_must_be_a_batch():
    with pytest.raises(ShapeError, match=r"\(batch, time\) .* \(3,\)"):
        GPT(GPTConfig()).generate_batch([1, 2, 3], 4)
