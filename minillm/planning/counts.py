"""Closed forms: how many parameters a GPT has, and how many floating-point operations a training step takes.

Nothing is built or run here, so a model of any size can be counted.
"""

from minillm.models import GPTConfig


def parameters(config: GPTConfig) -> dict[str, int]:
    """Trained numbers by part of the model; the sum is `GPT(config).num_parameters()`. Tied weights count once."""
    d, layers = config.d_model, config.n_layer
    bias = 1 if config.bias else 0
    norm = d if config.normalization == "rms_norm" else d * (1 + bias)
    norms = 2 * layers + (1 if config.norm == "pre" else 0)
    return {
        "token embedding": config.vocab_size * d,
        "positions": config.context_length * d if config.position == "learned" else 0,
        "attention": layers * (_attention_weights(config) + bias * (2 * d + 2 * _kv_width(config))),
        "feed-forward": layers * (_feed_forward_weights(config) + bias * ((_widenings(config) * _d_ff(config)) + d)),
        "norms": norms * norm,
        "output head": 0 if config.tie_weights else config.vocab_size * d,
    }


def matrix_weights(config: GPTConfig) -> int:
    """Weights that each token is multiplied with: the layers' matrices and the output head, tied or not.

    Looking up an embedding multiplies nothing; biases and norms are left out, being a thousandth.
    """
    layer = _attention_weights(config) + _feed_forward_weights(config)
    return config.n_layer * layer + config.vocab_size * config.d_model


def flops_per_token(config: GPTConfig) -> int:
    """Floating-point operations to train on one token: 6 N + 12 L d T.

    N: `matrix_weights`; L layers of width d; T the context. A multiplication with a weight is 2 operations, once
    forward and twice backward: 6 N (Kaplan et al. 2020, section 2.1 and table 1). Attention scores and weighted sums
    are 4 d T forward in each layer, three times that with backward: 12 L d T (Chowdhery et al. 2022, PaLM, appendix
    B). Hidden keys count: our attention computes their scores, then masks them.
    """
    return 6 * matrix_weights(config) + 12 * config.n_layer * config.d_model * config.context_length


def _d_ff(config: GPTConfig) -> int:
    return 4 * config.d_model if config.d_ff is None else config.d_ff


def _kv_width(config: GPTConfig) -> int:
    return config.d_model // config.n_head * (config.n_kv_head or config.n_head)


def _attention_weights(config: GPTConfig) -> int:
    """Of one layer: query and output d × d, key and value d × the width of their heads."""
    return 2 * config.d_model * config.d_model + 2 * config.d_model * _kv_width(config)


def _widenings(config: GPTConfig) -> int:
    """Matrices from d_model to d_ff: swiglu has a second one, the gate."""
    return 2 if config.activation == "swiglu" else 1


def _feed_forward_weights(config: GPTConfig) -> int:
    return (_widenings(config) + 1) * config.d_model * _d_ff(config)
