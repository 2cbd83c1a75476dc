"""Every op of the table, on every one of its cases: value and gradient equal torch's, in float64, to 1e-10."""

import numpy as np
import pytest

from minillm.registry import OPS, Op
from minillm.tensor import Tensor

torch = pytest.importorskip("torch", reason="torch is the oracle here; install the extra `oracle`")
F = torch.nn.functional

CASES = [(op, n) for op in OPS.values() for n in range(len(op.cases(np.random.default_rng(0))))]


def getitem(x, *, index):
    """Which elements an index picks is NumPy's to say; torch picks them, and differentiates."""
    positions = np.arange(x.numel()).reshape(x.shape)[index]
    return x.reshape(-1)[torch.from_numpy(np.ascontiguousarray(positions))].reshape(positions.shape)


def split(x, *, sections, axis):
    return torch.split(x, x.shape[axis] // sections if isinstance(sections, int) else sections, axis)


def extreme(reduce):
    return lambda x, axis=None, keepdims=False: reduce(x, dim=() if axis is None else axis, keepdim=keepdims)


def variance(x, *, axis=None, keepdims=False, ddof=0):
    return torch.var(x, dim=axis, keepdim=keepdims, correction=ddof)


def kept_elements(shape, p, key):
    """Dropout's mask as its docstring defines it: 32-bit words of a Philox stream, kept if at least p 2³²."""
    n = int(np.prod(shape))
    words = np.random.Philox(key=key[0], counter=[0, 0, key[1], 0]).random_raw((n + 1) // 2).view(np.uint32)[:n]
    return torch.from_numpy((words.reshape(shape) / 2**32 >= p).astype(float))


def dropout(x, *, p, key):
    return x * kept_elements(x.shape, p, key) / (1 - p) if p < 1 else 0 * x


def rotary(x, cos, sin):
    """A pair of features is a complex number, and turning it is a product with e^(iθ)."""
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * torch.complex(cos, sin)).reshape(x.shape)


def attention(q, k, v, mask=None, *, causal=False, scale=None, dropout=0.0, key=None):
    queries, keys = q.shape[2], k.shape[2]
    visible = torch.ones(*q.shape[:3], keys, dtype=bool)
    if mask is not None:
        visible &= mask
    if causal:
        visible &= torch.arange(keys) <= torch.arange(queries)[:, None] + (keys - queries)
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
    # A softmax over nothing isn't defined, and torch's versions differ there. Such rows look everywhere instead,
    # and are then set to this library's promise, exactly 0.
    blind = ~visible.any(-1, keepdim=True)
    if dropout:
        scores = (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(~(visible | blind), -torch.inf)
        out = scores.softmax(-1) * kept_elements(scores.shape, dropout, key) / (1 - dropout) @ v
    else:
        out = F.scaled_dot_product_attention(q, k, v, visible | blind, scale=scale)
    return out.masked_fill(blind, 0)


def rounded(x):
    return x.to(torch.bfloat16).to(x.dtype)


class Bfloat16Product(torch.autograd.Function):
    """A B with every operand of the product, and of its derivative's products, rounded to bfloat16."""

    @staticmethod
    def forward(context, a, b):
        context.save_for_backward(a, b)
        return rounded(a) @ rounded(b)

    @staticmethod
    def backward(context, dc):
        a, b = context.saved_tensors
        da, db = rounded(dc) @ rounded(b).mT, rounded(a).mT @ rounded(dc)
        return da.sum_to_size(a.shape), db.sum_to_size(b.shape)


def matmul(a, b, *, precision=None):
    return torch.matmul(a, b) if precision is None else Bfloat16Product.apply(a, b)


def linear(x, weight, bias=None, residual=None, *, activation=None, precision=None):
    y = matmul(x, weight.mT, precision=precision) + (0 if bias is None else bias)
    if activation:
        y = {"gelu": F.gelu, "gelu_tanh": lambda z: F.gelu(z, approximate="tanh"), "silu": F.silu}[activation](y)
    return y if residual is None else y + residual


def quantized_linear(x, weight, scale=None, bias=None, residual=None, *, activation=None):
    if scale is None:
        stored = (weight.to(torch.int32) << 16).view(torch.float32).to(x.dtype)
    else:
        step = x.detach().abs().amax(-1, keepdim=True).clamp(min=1e-30) / 127
        x = x + (torch.round(x / step) * step - x).detach()  # rounded, with the gradient of x itself
        stored = weight.to(x.dtype) * scale.to(x.dtype)[:, None]
    return linear(x, stored, bias, residual, activation=activation)


def layer_norm(x, weight=None, bias=None, residual=None, *, eps=1e-5):
    return F.layer_norm(x if residual is None else x + residual, x.shape[-1:], weight, bias, eps)


def rms_norm(x, weight=None, residual=None, *, eps=1e-5):
    return F.rms_norm(x if residual is None else x + residual, x.shape[-1:], weight, eps)


def cross_entropy(logits, targets, weight=None, *, ignore_index=-100, **options):
    if (targets == ignore_index).all():  # torch's mean over no tokens is NaN; here it is 0, whatever the logits
        return 0 * logits.sum()
    rows = logits.reshape(-1, logits.shape[-1])
    return F.cross_entropy(rows, targets.reshape(-1), weight, ignore_index=ignore_index, **options)


def mse_loss(prediction, target, *, reduction="half_sum"):
    return (
        F.mse_loss(prediction, target) if reduction == "mean" else F.mse_loss(prediction, target, reduction="sum") / 2
    )


def copy_logits(logits, scores, source):
    """By one logsumexp over the vocabulary's score and the scores of all places that hold the word."""
    holds = F.one_hot(source, logits.shape[-1]).bool().mT[:, None]  # (batch, 1, vocab_size, places)
    copied = torch.where(holds, scores[:, :, None], -torch.inf)
    return torch.cat([logits[..., None], copied], -1).logsumexp(-1)


TORCH = {
    "add": torch.add,
    "astype": lambda x, dtype: x.to(getattr(torch, dtype)),
    "attention": attention,
    "concat": lambda *arrays, axis: torch.cat(arrays, axis),
    "copy_logits": copy_logits,
    "cross_entropy": cross_entropy,
    "div": torch.div,
    "dropout": dropout,
    "embedding": lambda weight, ids: F.embedding(ids, weight),
    "exp": torch.exp,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "getitem": getitem,
    "layer_norm": layer_norm,
    "linear": linear,
    "linear_cross_entropy": lambda x, weight, targets: cross_entropy(x @ weight.mT, targets),
    "log": torch.log,
    "log_softmax": lambda x, axis=-1: F.log_softmax(x, axis),
    "masked_fill": lambda x, mask, value: x.masked_fill(mask, value),
    "matmul": matmul,
    "max": extreme(torch.amax),
    "mean": lambda x, axis=None, keepdims=False: torch.mean(x, dim=axis, keepdim=keepdims),
    "min": extreme(torch.amin),
    "mse_loss": mse_loss,
    "mul": torch.mul,
    "neg": torch.neg,
    "pow": torch.pow,
    "quantized_linear": quantized_linear,
    "relu": torch.relu,
    "reshape": lambda x, shape: x.reshape(shape),
    "rms_norm": rms_norm,
    "rotary": rotary,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "softmax": lambda x, axis=-1: F.softmax(x, axis),
    "split": split,
    "sqrt": torch.sqrt,
    "stack": lambda *arrays, axis: torch.stack(arrays, axis),
    "sub": torch.sub,
    "sum": lambda x, axis=None, keepdims=False: torch.sum(x, dim=axis, keepdim=keepdims),
    "tanh": torch.tanh,
    "transpose": lambda x, axes=None: x.permute(axes or tuple(range(x.ndim))[::-1]),
    "var": variance,
    "where": torch.where,
}


def test_every_op_has_a_torch_counterpart():
    assert set(TORCH) == set(OPS)


def name_of(value):
    return value.name if isinstance(value, Op) else str(value)


@pytest.mark.parametrize(("op", "n"), CASES, ids=name_of)
def test_value_and_gradient_equal_torch(op, n):
    case = op.cases(np.random.default_rng(0))[n]
    assert case.why or max(case.atol, case.rtol) <= 1e-10, "a looser tolerance needs its reason"
    differentiated = case.differentiated()
    ours = [Tensor(a, requires_grad=True) if i in differentiated else a for i, a in enumerate(case.args)]
    theirs = [as_torch(a, i in differentiated) for i, a in enumerate(case.args)]

    results = as_tuple(op(*ours, **case.kwargs))
    expected = as_tuple(TORCH[op.name](*theirs, **case.kwargs))

    assert len(results) == len(expected)
    rng = np.random.default_rng(1)
    for y, wanted in zip(results, expected, strict=True):
        assert y.shape == tuple(wanted.shape)
        np.testing.assert_allclose(y.numpy(), wanted.detach().numpy(), rtol=case.rtol, atol=case.atol)
        upstream = rng.normal(size=y.shape)
        y.backward(upstream, retain_graph=True)
        wanted.backward(torch.from_numpy(np.asarray(upstream)), retain_graph=True)
    for i in differentiated:
        np.testing.assert_allclose(ours[i].grad, theirs[i].grad.numpy(), rtol=case.rtol, atol=case.atol)


def as_torch(a, differentiated):
    if not hasattr(a, "dtype"):
        return a
    return torch.from_numpy(np.array(a)).requires_grad_(differentiated)


def as_tuple(values):
    return values if isinstance(values, tuple) else (values,)
