"""Weights of 8 and 16 bits: what is replaced, how exact they are, and what that costs a trained model."""

import numpy as np
import pytest

import minillm as ml
from minillm.errors import ConfigError
from minillm.models import GPT, GPTConfig
from minillm.nn import Linear, LoRALinear, QuantizedLinear, add_lora, quantize
from minillm.ops.quantized import dequantized, quantize_bfloat16, quantize_int8

STEPS = 150


def trained():
    """A small model that counts in threes modulo 13, a tenth of the numbers hidden; and a batch to measure it on."""
    ml.seed(0)
    model = GPT(GPTConfig(vocab_size=13, context_length=16, n_layer=2, n_head=2, d_model=32))
    optimizer = ml.optim.AdamW(model.parameters(), lr=3e-3)
    rng = np.random.default_rng(0)

    def batch(rows):
        text = (rng.integers(0, 13, (rows, 1)) + 3 * np.arange(17)) % 13
        text[rng.random(text.shape) < 0.1] = 0
        return text[:, :-1], text[:, 1:]

    for _ in range(STEPS):
        loss = model.loss(*batch(32))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval(), batch(256)


def perplexity(model, batch):
    with ml.no_grad():
        return float(np.exp(model.loss(*batch).item()))


@pytest.mark.parametrize(("weights", "most"), [("bfloat16", 0.005), ("int8", 0.02)])
def test_perplexity_of_a_trained_model_hardly_changes(weights, most):
    model, batch = trained()
    before = perplexity(model, batch)
    assert before < 5, "the model must have learnt something that rounding could spoil"
    after = perplexity(quantize(model, weights), batch)
    print(f"{weights}: perplexity {before:.4f} -> {after:.4f}")
    assert after != before
    assert abs(after / before - 1) < most


def test_every_linear_layer_is_replaced_and_the_embedding_left():
    model = quantize(GPT(GPTConfig(n_layer=2)), "int8")
    assert not [m for m in model.modules() if isinstance(m, Linear)]
    assert len([m for m in model.modules() if isinstance(m, QuantizedLinear)]) == 2 * 6 + 1
    assert model.token_embedding.weight.dtype == np.float32
    assert quantize(Linear(2, 3), "float32").weight.dtype == np.float32
    with pytest.raises(ConfigError, match="weights='int4'"):
        quantize(model, "int4")


def test_a_layer_with_lora_stays_in_float32():
    model = quantize(add_lora(GPT(GPTConfig(n_layer=2)), rank=2, alpha=4), "int8")
    assert len([m for m in model.modules() if isinstance(m, LoRALinear)]) == 2 * 2
    assert len([m for m in model.modules() if isinstance(m, QuantizedLinear)]) == 2 * 4 + 1


def test_int8_is_within_half_a_step_of_each_row():
    weight = np.random.default_rng(0).normal(size=(6, 50)).astype(np.float32) * np.float32(
        [[1e-6], [0], [1], [9], [1e6], [3]]
    )
    stored, scale = quantize_int8(weight)
    assert np.abs(stored).max(axis=1).tolist() == [127, 0, 127, 127, 127, 127]
    assert (np.abs(dequantized(stored, scale, np.float64) - weight) <= scale[:, None] * 0.5001).all()


def test_bfloat16_rounds_to_the_nearest_and_ties_to_even():
    exact = np.float32([[1, -2.5, 0, 1 + 2**-8, 1 + 3 * 2**-8, np.inf]])
    expected = [[1, -2.5, 0, 1, 1 + 2**-6, np.inf]]
    np.testing.assert_array_equal(dequantized(quantize_bfloat16(exact), None, np.float32), expected)


def test_greedy_tokens_are_the_same_with_and_without_a_cache():
    model, _ = trained()
    quantize(model, "int8")
    prompt = np.array([1, 3, 5])
    cached = model.generate(prompt, 12, temperature=0)
    np.testing.assert_array_equal(cached, model.generate(prompt, 12, temperature=0, use_cache=False))
