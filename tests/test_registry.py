"""Dispatch, with a dummy backend: which kernel runs, which backward follows it, and what a wrong kernel meets."""

import contextvars
import os
import subprocess
import sys

import numpy as np
import pytest

import minillm as ml
from minillm import Tensor, ops
from minillm.backend import BACKENDS, current_backend, default_backend, fastest_for, register_backend
from minillm.errors import ConfigError
from minillm.registry import OPS, kernel, strict_kernels
from minillm.testing import CheckError, agree

REFERENCE = ops.softmax.reference


@pytest.fixture
def calls():
    """Backend "dummy" with a softmax kernel for two axes and more; yields the list of its calls. Gone afterwards."""
    ran = []

    def backward(xp, dp, saved):
        ran.append("backward")
        p, axis = saved
        return (p * dp - p * (p * dp).sum(axis, keepdims=True),)

    def supports(x, axis=-1):
        return x.ndim >= 2

    register_backend("dummy")

    @kernel(ops.softmax, "dummy", backward, supports)
    def forward(xp, x, *, axis=-1):
        ran.append("forward")
        return REFERENCE.forward(xp, x, axis=axis)

    with ml.use_backend("numpy"):  # else the newcomer would be the default
        yield ran
    del BACKENDS["dummy"], ops.softmax.overrides["dummy"]
    default_backend.cache_clear()


def matrix():
    return Tensor(np.array([[0.0, 1.0], [2.0, 5.0]]), requires_grad=True)


def in_own_context(function):
    """Run `function` where a backend chosen by a plain call ends with it."""
    return contextvars.copy_context().run(function)


def test_use_backend_as_a_with_statement_ends_with_its_block(calls):
    with ml.use_backend("dummy") as backend:
        assert backend.name == current_backend().name == "dummy"
        ops.softmax(matrix())
    assert calls == ["forward"]
    ops.softmax(matrix())
    assert calls == ["forward"]
    assert current_backend().name == "numpy"


def test_use_backend_as_a_call_holds_from_there_on(calls):
    def choose():
        ml.use_backend("dummy")
        ops.softmax(matrix())
        ops.softmax(matrix())
        return current_backend().name

    assert in_own_context(choose) == "dummy"
    assert calls == ["forward", "forward"]
    assert current_backend().name == "numpy"


def test_blocks_nest(calls):
    with ml.use_backend("dummy"):
        with ml.use_backend("numpy"):
            ops.softmax(matrix())
        assert calls == []
        ops.softmax(matrix())
    assert calls == ["forward"]


def test_forward_and_backward_are_replaced_together(calls):
    x = matrix()
    with ml.use_backend("dummy"):
        (ops.softmax(x)[:, 0]).sum().backward()
    assert calls == ["forward", "backward"]


def test_a_node_keeps_the_kernel_of_its_forward(calls):
    """Whatever the backend is when backward runs: what a kernel saved only its own backward can read."""
    x = matrix()
    with ml.use_backend("dummy"):
        y = ops.softmax(x)[:, 0].sum()
    y.backward()
    assert calls == ["forward", "backward"]
    z = ops.softmax(matrix())[:, 0].sum()
    with ml.use_backend("dummy"):
        z.backward()
    assert calls == ["forward", "backward"]


def test_arguments_a_kernel_does_not_support_go_to_the_reference(calls):
    with ml.use_backend("dummy"):
        result = ops.softmax(Tensor([0.0, 0.0]))
        assert ops.exp(Tensor([0.0])).item() == 1  # an op without any kernel of this backend
    assert calls == []
    np.testing.assert_array_equal(result.numpy(), [0.5, 0.5])


def test_strict_kernels_refuses_to_fall_back(calls):
    with ml.use_backend("dummy"), strict_kernels():
        ops.softmax(matrix())
        with pytest.raises(RuntimeError, match=r"softmax: backend 'dummy' has no kernel for float32\(2,\)"):
            ops.softmax(Tensor([0.0, 0.0]))
        with pytest.raises(RuntimeError, match="exp: backend 'dummy'"):
            ops.exp(matrix())
    with strict_kernels():
        ops.exp(matrix())  # the reference is NumPy's own kernel
    with ml.use_backend("dummy"):
        ops.exp(matrix())  # allowed again


def test_a_child_falls_back_to_its_parents_kernel(calls):
    register_backend("child", parent=BACKENDS["dummy"])
    try:
        with ml.use_backend("child"):
            ops.softmax(matrix())
    finally:
        del BACKENDS["child"]
        default_backend.cache_clear()
    assert calls == ["forward"]


def test_a_backend_registered_later_becomes_the_default():
    """Also after ops ran without it: the order of imports doesn't matter."""
    assert default_backend().name in BACKENDS
    register_backend("later", parent=default_backend())
    try:
        assert default_backend().name == "later"
    finally:
        del BACKENDS["later"]
        default_backend.cache_clear()


def test_an_unknown_backend_lists_those_there_are():
    before = current_backend()
    with pytest.raises(ConfigError, match=r"no backend 'abacus'; there are .*numpy"):
        ml.use_backend("abacus")
    assert current_backend() == before


ENVIRONMENT_PROGRAM = """
import numpy as np
import minillm as ml
from minillm.backend import BACKENDS, register_backend, current_backend
register_backend("dummy", parent=BACKENDS.get("native", BACKENDS["numpy"]))
@ml.kernel(ml.ops.neg, "dummy", ml.ops.neg.reference.backward)
def negate(xp, x):
    print("dummy kernel ran")
    return -x, None
ml.ops.neg(np.ones(2))
print(current_backend().name)
"""


@pytest.mark.parametrize(
    ("variable", "printed"),
    [("dummy", "dummy kernel ran\ndummy\n"), ("numpy", "numpy\n"), (None, "dummy kernel ran\ndummy\n")],
    ids=["MINILLM_BACKEND=dummy", "MINILLM_BACKEND=numpy", "unset: the backend furthest from the reference"],
)
def test_the_environment_variable_chooses(variable, printed):
    environment = {k: v for k, v in os.environ.items() if k != "MINILLM_BACKEND"}
    if variable:
        environment["MINILLM_BACKEND"] = variable
    program = [sys.executable, "-c", ENVIRONMENT_PROGRAM]
    assert subprocess.run(program, env=environment, capture_output=True, text=True, check=True).stdout == printed


def test_an_unknown_environment_variable_is_a_clear_error():
    program = [sys.executable, "-c", "import minillm as ml; ml.ops.neg(ml.Tensor([1.0]))"]
    done = subprocess.run(program, env={**os.environ, "MINILLM_BACKEND": "abacus"}, capture_output=True, text=True)
    assert done.returncode != 0
    assert "there is no backend 'abacus'; there are " in done.stderr


# ---- agree ----


def test_agree_passes_a_right_kernel_and_says_which_ran(calls):
    ran = agree(ops.softmax, "dummy")
    assert len(ran) == len(ops.softmax.cases(np.random.default_rng(0)))
    assert set(ran.values()) == {"dummy", "numpy"}  # the case of one axis isn't supported
    assert {"forward", "backward"} == set(calls)


@pytest.mark.parametrize("wrong", ["forward", "backward"])
def test_agree_refuses_a_wrong_kernel(calls, wrong):
    right = REFERENCE

    def backward(xp, dp, saved):
        (dx,) = right.backward(xp, dp, saved)
        return (dx * (1.0001 if wrong == "backward" else 1),)

    @kernel(ops.softmax, "dummy", backward)
    def forward(xp, x, *, axis=-1):
        p, saved = right.forward(xp, x, axis=axis)
        return p * (1.0001 if wrong == "forward" else 1), saved

    with pytest.raises(CheckError, match=f"softmax {wrong}, dummy kernel, .*error .*, allowed"):
        agree(ops.softmax, "dummy")


def test_agree_refuses_a_result_of_another_shape(calls):
    @kernel(ops.softmax, "dummy", REFERENCE.backward)
    def forward(xp, x, *, axis=-1):
        p, saved = REFERENCE.forward(xp, x, axis=axis)
        return p[..., :1], saved

    with pytest.raises(CheckError, match=r"shape \(3, 1\) instead of \(3, 4\)"):
        agree(ops.softmax, "dummy")


# ---- calling an op ----


def test_tensors_may_be_given_by_name():
    x, weight, bias = np.ones((2, 3)), np.ones((4, 3)), np.arange(4.0)
    by_place = ops.linear(x, weight, bias).numpy()
    np.testing.assert_array_equal(ops.linear(x, bias=bias, weight=weight).numpy(), by_place)
    np.testing.assert_array_equal(ops.linear(x=x, weight=weight).numpy(), by_place - bias)


def test_an_op_without_a_backward_says_what_to_write():
    @ml.op()
    def forward_only(xp, x):
        return x, None

    del OPS["forward_only"]
    x = Tensor([1.0], requires_grad=True)
    with pytest.raises(TypeError, match="no backward formula"):
        forward_only(x).backward()


def test_a_simulator_of_a_gpu_is_not_what_numpy_s_arrays_are_computed_with():
    before = BACKENDS.get("numba_cuda")
    register_backend("numba_cuda", parent=BACKENDS.get("native", BACKENDS["numpy"]))
    try:
        assert fastest_for(np).name != "numba_cuda"
    finally:
        del BACKENDS["numba_cuda"]
        if before:
            BACKENDS["numba_cuda"] = before
