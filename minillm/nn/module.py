"""Module: a piece of a model that holds parameters; its state as a dictionary of named arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from minillm.errors import CheckpointError
from minillm.tensor import Tensor, moved


class Parameter(Tensor):
    """A tensor that is trained: it requires a gradient, and modules list it.

    With `requires_grad = False` it is frozen: still listed and saved, but without gradients, and no optimizer moves it.
    """

    __slots__ = ()

    def __init__(self, array: Any):
        super().__init__(array, requires_grad=True)

    def move(self, backend: str) -> None:
        """Move values and gradient to where `backend` computes; the parameter stays the same object."""
        self._array = moved(self._array, backend)
        self.grad = None if self.grad is None else moved(self.grad, backend)


class Module:
    """Base of all layers and models: define `__init__` and `forward`, assign parameters and modules as attributes.

    Parameters are found by walking the attributes (also in lists and dicts) in the order they were assigned;
    there is no registration, and a misspelt name raises AttributeError as on any Python object.
    """

    training: bool = True

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What calling the module computes; every subclass writes its own."""
        raise TypeError(f"{type(self).__name__} defines no forward()")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """(name, parameter) pairs, named by the path of attributes; one that is shared (tied) comes once."""
        seen: set[int] = set()
        for name, value in _walk(self, ""):
            if isinstance(value, Parameter) and id(value) not in seen:
                seen.add(id(value))
                yield name, value

    def parameters(self) -> list[Parameter]:
        """Every parameter, once."""
        return [p for _, p in self.named_parameters()]

    def modules(self) -> Iterator[Module]:
        """This module and all inside it."""
        yield self
        for _, value in _walk(self, ""):
            if isinstance(value, Module):
                yield value

    def num_parameters(self) -> int:
        """How many numbers are trained: those of frozen parameters don't count, tied weights count once."""
        return sum(p.size for p in self.parameters() if p.requires_grad)

    def train(self, mode: bool = True) -> Module:
        """Switch to training (dropout on), or with False to evaluation."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Module:
        """Switch to evaluation: dropout off."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for p in self.parameters():
            p.grad = None

    def state_dict(self) -> dict[str, np.ndarray]:
        """The parameters' values by name, as read-only views; tied weights are stored once."""
        return {name: p.numpy() for name, p in self.named_parameters()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Copy values into the parameters.

        Strict: raises CheckpointError listing every missing, unexpected and mis-shaped name, and changes nothing then.
        """
        own = dict(self.named_parameters())
        problems = [f"missing: {name} {p.shape}" for name, p in own.items() if name not in state]
        problems += [f"unexpected: {name} {np.shape(state[name])}" for name in state if name not in own]
        for name in own.keys() & state.keys():
            if np.shape(state[name]) != own[name].shape:
                problems.append(f"mis-shaped: {name} is {np.shape(state[name])}, the model has {own[name].shape}")
        if problems:
            raise CheckpointError(
                f"the state doesn't fit this {type(self).__name__}:\n  " + "\n  ".join(sorted(problems))
            )
        for name, p in own.items():
            p.assign(state[name])

    def to(self, backend: str) -> Module:
        """Move parameters and their gradients to where `backend` computes ("cuda": the GPU; "native": the CPU).

        An optimizer keeps its state where its parameters were: move it too, by its own `to`.
        """
        for p in self.parameters():
            p.move(backend)
        return self


def _walk(value: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """Everything inside a module, list, tuple or dict, depth first, with its dotted path."""
    if isinstance(value, Module):
        children: Any = vars(value).items()
    elif isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list | tuple):
        children = enumerate(value)
    else:
        return
    for name, child in children:
        path = f"{prefix}{name}"
        yield path, child
        yield from _walk(child, f"{path}.")
