"""The operators and methods of `Tensor`, attached from the ops, so that the engine needn't know them."""

from minillm.backend import array_module, beside
from minillm.ops import activation, elementwise, linear, reduce, shape
from minillm.registry import Op
from minillm.tensor import Tensor, _plain


def _binary(op: Op):
    return lambda self, other: op(self, other), lambda self, other: op(other, self)


for _name, _op in {
    "add": elementwise.add,
    "sub": elementwise.sub,
    "mul": elementwise.mul,
    "truediv": elementwise.div,
    "pow": elementwise.pow,
    "matmul": linear.matmul,
}.items():
    _forward, _reflected = _binary(_op)
    setattr(Tensor, f"__{_name}__", _forward)
    setattr(Tensor, f"__r{_name}__", _reflected)


def _comparison(name: str):
    def compare(self, other):
        function = getattr(array_module(self._array), name)
        return Tensor.of(function(self._array, beside(self._array, _plain(other))))

    return compare


for _name, _function in {
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
    "eq": "equal",
    "ne": "not_equal",
}.items():
    setattr(Tensor, f"__{_name}__", _comparison(_function))


def _reshape(self, *new_shape):
    return shape.reshape(self, shape=new_shape[0] if len(new_shape) == 1 else new_shape)


def _transpose(self, *axes):
    return shape.transpose(
        self, axes=(axes[0] if len(axes) == 1 and isinstance(axes[0], tuple | list) else axes) or None
    )


def _unary(op: Op):
    return lambda self: op(self)


def _reduction(op: Op):
    return lambda self, axis=None, keepdims=False, **options: op(self, axis=axis, keepdims=keepdims, **options)


_methods = {
    "__neg__": lambda self: elementwise.neg(self),
    "__abs__": lambda self: shape.where(self._array < 0, -self, self),
    "__getitem__": lambda self, index: shape.getitem(self, index=_plain(index)),
    "__iter__": lambda self: (self[i] for i in range(len(self))),
    "__hash__": object.__hash__,  # by identity: tensors are keys and set members, whatever they hold
    "reshape": _reshape,
    "transpose": _transpose,
    "T": property(_transpose),
    "astype": lambda self, dtype: shape.astype(self, dtype=dtype),
    **{op.name: _reduction(op) for op in (reduce.sum, reduce.mean, reduce.var, reduce.max, reduce.min)},
    **{op.name: _unary(op) for op in (elementwise.exp, elementwise.log, elementwise.sqrt, activation.tanh)},
}
for _name, _method in _methods.items():
    setattr(Tensor, _name, _method)
