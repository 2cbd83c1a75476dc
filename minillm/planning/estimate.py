"""From a model and its training to a `Plan`: closed forms and a short trial put together."""

import math

import numpy as np

from minillm.configs.config import Config
from minillm.cuda import is_emulated
from minillm.errors import ConfigError
from minillm.kernels import native_module
from minillm.memory import memory_in_use, on_gpu
from minillm.models import GPTConfig
from minillm.planning import counts, energy, trial
from minillm.planning.report import Gpu, Plan

ADAM_ARRAYS = 7  # weights, gradients, m, v read; weights, m, v written
MOMENTS = 2  # AdamW's m and v, each of the weights' size
FORWARD_SHARE = 1 / 3  # of a step's operations; an evaluation needs no more
ID_BYTES = 8  # token ids of a batch are int64


def plan(
    model_config: GPTConfig,
    *,
    batch_size: int,
    gradient_accumulation: int,
    steps: int,
    evaluation_tokens: int = 0,
    watts: float | None = None,
) -> Plan:
    """What a training of `steps` updates will take on this machine, found in a few seconds.

    batch_size: sequences an update learns from, run in `gradient_accumulation` parts. evaluation_tokens: of all
    evaluations together. watts: what the machine draws; read or assumed if not given.
    Raises ConfigError where the parts don't divide the batch, or watts aren't above 0.
    """
    if batch_size < 1 or gradient_accumulation < 1 or batch_size % gradient_accumulation:
        raise ConfigError(f"gradient_accumulation={gradient_accumulation} must divide batch_size={batch_size}")
    if watts is not None and not 0 < watts < math.inf:
        raise ConfigError(f"watts={watts} must be above 0")
    program = memory_in_use()
    meter = energy.Meter()
    measured = trial.run(model_config, batch_size // gradient_accumulation)
    watts, source = _power(watts, meter.watts())

    tokens = batch_size * model_config.context_length
    gradient_seconds = measured.gradient_seconds * gradient_accumulation
    parameters = counts.parameters(model_config)
    memory = _memory(model_config, parameters, measured, batch_size)
    return Plan(
        parameters=parameters,
        memory={**memory, "program": program},
        peak_bytes=program + _peak(memory, model_config, gradient_accumulation),
        flops_per_step=counts.flops_per_token(model_config) * tokens,
        evaluation_flops=counts.flops_per_token(model_config) * evaluation_tokens * FORWARD_SHARE,
        steps=steps,
        tokens_per_step=tokens,
        seconds_per_step=gradient_seconds + measured.update_seconds,
        evaluation_seconds=gradient_seconds / tokens * evaluation_tokens * FORWARD_SHARE,
        watts=watts,
        watts_source=source,
        method=_method(model_config, measured, batch_size // gradient_accumulation),
        gpu=_gpu(model_config) if on_gpu() else None,
        bytes_per_step=2 * measured.saved_bytes * gradient_accumulation + ADAM_ARRAYS * memory["weights"],
    )


def _gpu(config: GPTConfig) -> Gpu:
    """The GPU in use, with its peak measured now."""
    from minillm.cuda import driver, memory, peaks

    free, total = memory.free_and_total()
    matmul = peaks.matmul_flops("bfloat16" if config.dtype == "bfloat16" else "float32")
    return Gpu(driver.device_name(), free, total, matmul, peaks.memory_bytes())


def plan_run(config: Config, *, validation_tokens: int | None = None, watts: float | None = None) -> Plan:
    """The plan of a whole run. validation_tokens: length of the validation text, where it is known already."""
    training = config.training
    evaluations = math.ceil(training.steps / training.eval_interval) + 1
    known = [n for n in (training.eval_tokens, validation_tokens) if n]
    return plan(
        config.model,
        batch_size=training.batch_size,
        gradient_accumulation=training.gradient_accumulation,
        steps=training.steps,
        evaluation_tokens=evaluations * min(known, default=0),
        watts=watts,
    )


def _memory(config: GPTConfig, parameters: dict[str, int], measured: trial.Trial, batch_size: int) -> dict[str, int]:
    """Bytes by kind, each at its largest."""
    weights = sum(parameters.values()) * np.dtype(config.array_dtype).itemsize
    return {
        "weights": weights,
        "gradients": weights,
        "optimizer moments": MOMENTS * weights,
        "saved activations": measured.saved_bytes,
        "temporaries": measured.working_bytes,
        "data": 3 * batch_size * config.context_length * ID_BYTES,  # the window, its inputs, its targets
    }


def _peak(memory: dict[str, int], config: GPTConfig, parts: int) -> int:
    """Most bytes at one time: when backward begins, or when it ends.

    Backward frees activations as it makes gradients, so one batch doesn't need both; the second part of an
    accumulated batch does. At the end, a tied embedding's gradient is made apart and added to the head's; the native
    kernel makes its few rows only.
    """
    lasting = memory["weights"] + memory["optimizer moments"] + memory["data"]
    begins = memory["saved activations"] + memory["temporaries"] + (memory["gradients"] if parts > 1 else 0)
    embedding = config.vocab_size * config.d_model * np.dtype(config.array_dtype).itemsize
    ends = memory["gradients"] + (embedding if config.tie_weights and not native_module() else 0)
    return lasting + max(begins, ends)


def _power(given: float | None, read: float | None) -> tuple[float, str]:
    if given is not None:
        return given, "as given"
    if on_gpu() and not is_emulated():
        return energy.GPU_WATTS, "estimated: a data-centre GPU at full load; give yours by --watts"
    if read is not None:
        return read, "measured: the processor's own counter (RAPL) during the trial"
    return energy.assumed_watts(), f"estimated: {energy.WATTS_PER_CORE:g} W for each of {energy.cores()} cores"


def _method(config: GPTConfig, measured: trial.Trial, sequences: int) -> str:
    scaled = (
        f", {measured.sequences} of a part's {sequences} sequences, scaled" if measured.sequences < sequences else ""
    )
    return (
        f"steps of this model with 1 and 2 layers, timed here (best of {measured.repeats}{scaled}), "
        f"extended to {config.n_layer}"
    )
