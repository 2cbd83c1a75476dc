"""The whole op table: every op has cases, a right gradient, clear errors, float32 throughout, a known formula."""

import inspect
import tomllib
from pathlib import Path

import numpy as np
import pytest

import minillm as ml
from minillm import ops
from minillm.backend import arrays_in
from minillm.registry import OPS, Op
from minillm.tensor import Tensor

EQUATIONS = Path(__file__).parents[2] / "docs" / "equations.toml"
CASES = [(op, n) for op in OPS.values() for n in range(len(op.cases(np.random.default_rng(0))))]
ERRORS = [(op, n) for op in OPS.values() for n in range(len(op.error_cases(np.random.default_rng(0))))]


def the_case(op, n):
    return op.cases(np.random.default_rng(0))[n]


def name_of(value):
    return value.name if isinstance(value, Op) else str(value)


def test_every_public_op_is_in_the_table_with_cases():
    public = set(ops.__all__)
    assert public == set(OPS)
    assert public == {name for name, value in vars(ops).items() if isinstance(value, Op)}
    without = [op.name for op in OPS.values() if not op.cases(np.random.default_rng(0))]
    assert not without, f"ops without cases: {without}"


def test_every_op_that_restricts_its_arguments_has_error_cases():
    raising = [
        op
        for op in OPS.values()
        if "raise" in inspect.getsource(op.reference.forward) or "check" in inspect.getsource(op.reference.forward)
    ]
    assert [op.name for op in raising if not op.error_cases(np.random.default_rng(0))] == []


@pytest.mark.parametrize(("op", "n"), CASES, ids=name_of)
def test_gradient_against_finite_differences(op, n):
    case = the_case(op, n)
    if case.smooth:
        ml.testing.gradcheck_case(op, case)
    else:
        outputs = op(*[Tensor(a, requires_grad=True) if is_float(a) else a for a in case.args], **case.kwargs)
        assert all(np.isfinite(o.numpy()).all() for o in (outputs if isinstance(outputs, tuple) else (outputs,)))


@pytest.mark.parametrize(("op", "n"), CASES, ids=name_of)
def test_a_float32_step_makes_no_float64_array(op, n):
    case = the_case(op, n)
    tensors = [Tensor(a.astype(np.float32), requires_grad=True) if is_float(a) else a for a in case.args]
    kwargs = {**case.kwargs, **({"dtype": "float32"} if op.name == "astype" else {})}
    result, saved = op.reference.forward(np, *[t._array if isinstance(t, Tensor) else t for t in tensors], **kwargs)
    gradients = op.reference.backward(np, result, saved)
    made = [a.dtype for a in arrays_in((result, saved, gradients))]
    assert np.float64 not in made


@pytest.mark.parametrize(("op", "n"), ERRORS, ids=name_of)
def test_errors_name_operands_and_rule(op, n):
    case = op.error_cases(np.random.default_rng(0))[n]
    with pytest.raises(case.raises, match=case.match) as error:
        op(*case.args, **case.kwargs)
    assert op.name in str(error.value) or "token id" in str(error.value)


@pytest.mark.parametrize("op", OPS.values(), ids=name_of)
def test_results_do_not_share_memory_in_ways_that_corrupt(op):
    """Running backward twice from one graph gives the same gradients: nothing saved was written to."""
    for case in op.cases(np.random.default_rng(0)):
        arrays = [a.copy() if hasattr(a, "copy") else a for a in case.args]
        result, saved = op.reference.forward(np, *arrays, **case.kwargs)
        first = [g.copy() for g in arrays_in(op.reference.backward(np, result, saved))]
        again = list(arrays_in(op.reference.backward(np, result, saved)))
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(first, again, strict=True))
        assert all(
            np.array_equal(a, b, equal_nan=True) for a, b in zip(arrays_in(arrays), arrays_in(case.args), strict=True)
        )


def test_formula_ids_are_known():
    known = set(tomllib.loads(EQUATIONS.read_text(encoding="utf-8")))
    cited = {formula for op in OPS.values() for formula in op.formula_ids}
    assert cited and cited <= known


@pytest.mark.parametrize("op", OPS.values(), ids=name_of)
def test_forward_and_backward_state_their_formula(op):
    assert op.__doc__ and op.reference.backward.__doc__


def is_float(a):
    return getattr(getattr(a, "dtype", None), "kind", "") == "f"
