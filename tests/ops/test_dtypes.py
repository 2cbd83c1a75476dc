"""float32 in, float32 throughout: no op, and no training step, makes a float64 array; ids of any integer type."""

import math

import numpy as np
import pytest

from minillm import Tensor, ops, seeding
from minillm.backend import arrays_in
from minillm.models import GPT, GPTConfig
from minillm.optim import AdamW, clip_grad_norm
from minillm.registry import OPS, Op
from minillm.tape import topological_order


class Spy(np.ndarray):
    """An array that notes the dtype of every array computed from it."""

    seen: set = set()

    def __array_finalize__(self, source):
        Spy.seen.add(self.dtype)

    def mean(self, *args, **kwargs):
        """NumPy's own: it divides through a small float64 buffer, which is none of an op's arrays."""
        return np.asarray(np.asarray(self).mean(*args, **kwargs)).view(Spy)

    def __array_function__(self, function, types, args, kwargs):
        result = super().__array_function__(function, types, args, kwargs)
        return result.view(Spy) if type(result) is np.ndarray else result


def name_of(value):
    return value.name if isinstance(value, Op) else str(value)


@pytest.mark.parametrize("op", [op for op in OPS.values() if op.name != "astype"], ids=name_of)
def test_no_op_makes_even_a_passing_float64_array_from_float32(op):
    for case in op.cases(np.random.default_rng(0)):
        floats = [getattr(getattr(a, "dtype", None), "kind", "") == "f" for a in case.args]
        args = [a.astype(np.float32).view(Spy) if f else a for a, f in zip(case.args, floats, strict=True)]
        Spy.seen = set()
        result, saved = op.reference.forward(np, *args, **case.kwargs)
        gradient = tuple(np.array(a).view(Spy) for a in arrays_in(result))
        op.reference.backward(np, gradient if isinstance(result, tuple) else gradient[0], saved)
        assert np.dtype(np.float64) not in Spy.seen, case.note or case


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"norm": "post", "position": "sinusoidal", "activation": "gelu", "tie_weights": False},
        {"normalization": "rms_norm", "position": "rotary", "activation": "swiglu", "n_kv_head": 1, "bias": False},
    ],
    ids=["gpt2", "post-norm", "rms-rotary-swiglu"],
)
def test_a_float32_training_step_of_a_gpt_keeps_no_float64_array(options):
    seeding.seed(0)
    config = GPTConfig(vocab_size=11, context_length=8, n_layer=2, n_head=2, d_model=8, dropout=0.1, **options)
    model = GPT(config)
    optimizer = AdamW(model.parameters(), lr=1e-3)
    ids = np.random.default_rng(0).integers(0, 11, size=(2, 8))
    _, loss = model(ids, ids)
    kept = [a for node in topological_order(loss.node) for a in arrays_in(node.saved)]
    loss.backward()
    clip_grad_norm(model.parameters(), 1.0)
    optimizer.step()
    kept += [p.grad for p in model.parameters()] + [p.numpy() for p in model.parameters()]
    kept += [a for slot in optimizer.state.values() for a in slot]
    assert len(kept) > 100
    assert {a.dtype for a in kept if a.dtype.kind == "f"} == {np.dtype(np.float32)}


def test_token_ids_may_be_any_integer_type_and_sums_of_them_stay_int64():
    weight = np.arange(12.0).reshape(6, 2)
    for dtype in (np.uint8, np.uint16, np.int32, np.int64, np.uint64):
        ids = np.array([5, 0], dtype)
        np.testing.assert_array_equal(ops.embedding(weight, ids).numpy(), weight[[5, 0]])
        assert ops.cross_entropy(np.zeros((2, 6)), ids).item() == pytest.approx(math.log(6))
    assert ops.embedding(weight, 3).numpy().tolist() == [6, 7]  # a plain number is one id
    assert Tensor(np.array([2**40, 2**40])).sum().item() == 2**41
