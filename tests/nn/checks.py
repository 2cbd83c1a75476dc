"""What the module tests share: a module's derivatives in its parameters and inputs, and weights copied from torch."""

import numpy as np

from minillm.nn import Module
from minillm.testing import GradientReport, gradcheck


def gradcheck_module(module, *inputs, **options) -> GradientReport:
    """`gradcheck` of `module(*inputs, **options)`, in the inputs and in every parameter; shared ones count once.

    Afterwards the module holds plain tensors in their place: it is used up.
    """
    parameters = module.parameters()
    places = [[(m, k) for m in module.modules() for k, v in vars(m).items() if v is p] for p in parameters]

    def call(*tensors):
        for where, tensor in zip(places, tensors[len(inputs) :], strict=True):
            for owner, attribute in where:
                setattr(owner, attribute, tensor)
        return module(*tensors[: len(inputs)], **options)

    return gradcheck(call, [*inputs, *parameters], name=type(module).__name__)


def randomise(module: Module, seed: int = 0) -> Module:
    """Weights at random, also those that start as 0 or 1, so that every one of them matters."""
    rng = np.random.default_rng(seed)
    for p in module.parameters():
        p.mutable()[...] = rng.normal(size=p.shape) * 0.5 + (1 if p.ndim == 1 else 0)
    return module


def as_torch(arrays):
    """A torch state dict of (name, array) pairs."""
    import torch

    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
