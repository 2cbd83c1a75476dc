"""Arithmetic, element by element, with broadcasting: add sub mul div neg pow exp log sqrt.

Every derivative below is the chain rule for one element; where an operand was
broadcast, its gradient is summed over the copies (`unbroadcast`).
"""

from minillm.errors import ShapeError
from minillm.ops.common import check_broadcast, shape_of, unbroadcast
from minillm.registry import Case, ErrorCase, op


def pair_cases(rng):
    def pair(left, right, note=""):
        return Case((rng.normal(size=left), rng.uniform(0.5, 2, size=right)), note=note)

    yield pair((3, 4), (3, 4))
    yield pair((2, 3, 4), (4,), "a row repeated")
    yield pair((3, 1), (1, 5), "both repeated")
    yield pair((), (2, 2), "a scalar repeated")
    yield pair((0, 3), (3,), "no elements")
    yield pair((1,), (1,), "one element")
    yield Case((rng.normal(size=(5, 4)).T, rng.uniform(1, 2, size=(4, 10))[:, ::2]), note="not contiguous")
    yield Case((rng.normal(size=(2, 3)), 1.5), note="a Python number")


def pair_errors(rng):
    a, b = rng.normal(size=(2, 3)), rng.normal(size=(2, 4))
    yield ErrorCase((a, b), ShapeError, r"\(2, 3\) and \(2, 4\) don't broadcast: dimension -1 is 3 .* 4")


def any_sign(rng):
    yield from (Case((rng.normal(size=shape),)) for shape in [(3, 4), (), (0,), (1,), (2, 3, 5)])
    yield Case((rng.normal(size=(4, 6))[::2, ::3],), note="not contiguous")


def positive(rng):
    yield from (Case((rng.uniform(0.2, 3, size=shape),)) for shape in [(3, 4), (), (0,), (1,), (2, 3, 5)])


def power_cases(rng):
    yield Case((rng.uniform(0.5, 2, size=(3, 4)), rng.normal(size=(4,))))
    yield Case((rng.normal(size=(3, 4)), 3), note="negative base, whole exponent")
    yield Case((2.0, rng.normal(size=(5,))), note="a number to the power of a tensor")


@op(cases=pair_cases, errors=pair_errors)
def add(xp, a, b):
    """Sum.  c = a + b"""
    check_broadcast("add", a, b)
    return a + b, (shape_of(a), shape_of(b))


@add.backward
def add_backward(xp, dc, saved):
    """da = dc,  db = dc"""
    shape_a, shape_b = saved
    return unbroadcast(dc, shape_a), unbroadcast(dc, shape_b)


@op(cases=pair_cases, errors=pair_errors)
def sub(xp, a, b):
    """Difference.  c = a − b"""
    check_broadcast("sub", a, b)
    return a - b, (shape_of(a), shape_of(b))


@sub.backward
def sub_backward(xp, dc, saved):
    """da = dc,  db = −dc"""
    shape_a, shape_b = saved
    return unbroadcast(dc, shape_a), unbroadcast(-dc, shape_b)


@op(cases=pair_cases, errors=pair_errors)
def mul(xp, a, b):
    """Product.  c = a b"""
    check_broadcast("mul", a, b)
    return a * b, (a, b)


@mul.backward
def mul_backward(xp, dc, saved):
    """da = dc b,  db = dc a"""
    a, b = saved
    return _times(dc, b, shape_of(a)), _times(dc, a, shape_of(b))


@op(cases=pair_cases, errors=pair_errors)
def div(xp, a, b):
    """Quotient.  c = a / b"""
    check_broadcast("div", a, b)
    return a / b, (a, b)


@div.backward
def div_backward(xp, dc, saved):
    """da = dc / b,  db = −dc a / b²"""
    a, b = saved
    da = dc / b
    return unbroadcast(da, shape_of(a)), _times(da, -a / b, shape_of(b))


@op(cases=any_sign)
def neg(xp, x):
    """Opposite.  y = −x"""
    return -x, None


@neg.backward
def neg_backward(xp, dy, saved):
    """dx = −dy"""
    return (-dy,)


@op(cases=power_cases, errors=pair_errors)
def pow(xp, x, n):
    """Power.  y = xⁿ"""
    check_broadcast("pow", x, n)
    y = x**n
    return y, (x, n, y)


@pow.backward
def pow_backward(xp, dy, saved):
    """dx = dy n xⁿ⁻¹,  dn = dy xⁿ ln x  (0 where x ≤ 0: there xⁿ has no derivative in n)"""
    x, n, y = saved
    dx = unbroadcast(dy * n * x ** (n - 1), shape_of(x)) if shape_of(x) is not None else None
    dn = None
    if shape_of(n) is not None:
        log_x = xp.log(xp.where(xp.asarray(x) > 0, x, 1)).astype(dy.dtype)
        dn = unbroadcast(dy * y * log_x, n.shape)
    return dx, dn


@op(cases=any_sign)
def exp(xp, x):
    """Exponential.  y = eˣ"""
    y = xp.exp(x)
    return y, y


@exp.backward
def exp_backward(xp, dy, y):
    """dx = dy eˣ"""
    return (dy * y,)


@op(cases=positive)
def log(xp, x):
    """Natural logarithm.  y = ln x"""
    return xp.log(x), x


@log.backward
def log_backward(xp, dy, x):
    """dx = dy / x"""
    return (dy / x,)


@op(cases=positive)
def sqrt(xp, x):
    """Square root.  y = √x"""
    y = xp.sqrt(x)
    return y, y


@sqrt.backward
def sqrt_backward(xp, dy, y):
    """dx = dy / (2 √x)"""
    return (dy / (2 * y),)


def _times(dc, factor, shape):
    return None if shape is None else unbroadcast(dc * factor, shape)
