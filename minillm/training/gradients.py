"""Which way a training gets its gradients: op by op, or on a GPU by a CUDA graph."""

from minillm.backend import current_backend
from minillm.training.step import Gradients, accumulate_gradients


def chosen(compile_graph: str) -> Gradients:
    """By a graph if `compile_graph` is "on" and the backend in use is cuda; else op by op."""
    if compile_graph == "off" or current_backend().name != "cuda":
        return accumulate_gradients
    from minillm.cuda.graph import CapturedGradients

    return CapturedGradients(accumulate_gradients)
