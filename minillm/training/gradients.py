"""Which way a training gets its gradients: op by op, or on a GPU by a CUDA graph."""

from minillm.backend import current_backend
from minillm.training.step import Gradients, accumulate_gradients


def chosen(compile_graph: str, dtype: str) -> Gradients:
    """By a graph if `compile_graph` is "on", the backend in use is cuda, and it has kernels for the dtype of the model
    (not for float64); else op by op."""
    if compile_graph == "off" or current_backend().name != "cuda" or dtype == "float64":
        return accumulate_gradients
    from minillm.cuda.graph import CapturedGradients

    return CapturedGradients(accumulate_gradients)
