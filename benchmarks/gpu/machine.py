"""What is measured: the GPU, its clocks and limits, the versions of everything, the processor beside it."""

import shutil
import subprocess
from importlib import metadata
from typing import Any

import minillm
from benchmarks.gpu.context import Context
from benchmarks.machine import cpu_name
from benchmarks.tables import Table
from minillm.cuda.driver import array_module

SECONDS = 5
# What nvidia-smi is asked for; clocks in MHz, power in W.
FIELDS = (
    "name", "driver_version", "memory.total", "compute_cap", "clocks.current.sm", "clocks.max.sm",
    "clocks.current.memory", "clocks.max.memory", "power.limit", "power.max_limit", "temperature.gpu",
    "ecc.mode.current", "mig.mode.current", "persistence_mode",
)  # fmt: skip
PROPERTIES = ("totalGlobalMem", "multiProcessorCount", "l2CacheSize", "sharedMemPerBlockOptin", "regsPerMultiprocessor")
PACKAGES = ("numpy", "ml_dtypes", "torch", "triton", "numba", "numba-cuda")
ASK_SECONDS = 20


def ask(fields: tuple[str, ...]) -> list[str] | None:
    """nvidia-smi's answers for the first GPU; None where it has none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    command = [program, "--id=0", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ASK_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    answers = [answer.strip() for answer in done.stdout.splitlines()[0].split(",")] if done.stdout.strip() else []
    return answers if done.returncode == 0 and len(answers) == len(fields) else None


def nvidia_smi() -> dict[str, str]:
    """Each field's answer; without those that this version doesn't know, and empty where there is no nvidia-smi."""
    if answers := ask(FIELDS):
        return dict(zip(FIELDS, answers, strict=True))
    if ask(FIELDS[:1]) is None:
        return {}
    return {field: answers[0] for field in FIELDS if (answers := ask((field,)))}


def device_properties(cupy: Any) -> dict[str, Any]:
    """What the CUDA runtime says of the current device, and which CUDA that is."""
    runtime = cupy.cuda.runtime
    properties = runtime.getDeviceProperties(cupy.cuda.Device().id)
    name = properties["name"]
    return {
        "name": name.decode() if isinstance(name, bytes) else name,
        "compute capability": str(cupy.cuda.Device().compute_capability),
        **{key: int(properties[key]) for key in PROPERTIES if key in properties},
        "CUDA of the driver": runtime.driverGetVersion(),
        "CUDA of CuPy": runtime.runtimeGetVersion(),
        "NVRTC": ".".join(map(str, cupy.cuda.nvrtc.getVersion())),
        "CuPy": cupy.__version__,
    }


def versions() -> dict[str, str]:
    """Of the packages that are installed."""
    found = {"minillm": minillm.__version__}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def measure(context: Context, values: dict[str, Any]) -> None:
    """Ask everyone."""
    values["cpu"] = cpu_name()
    values["versions"] = versions()
    values["nvidia-smi"] = nvidia_smi()
    values["device"] = {} if context.emulated else device_properties(array_module())


def tables(values: dict[str, Any]) -> list[Table]:
    """A line for each fact."""
    facts = {"CPU": values.get("cpu"), **values.get("device", {}), **values.get("versions", {})}
    facts |= {f"nvidia-smi: {name}": answer for name, answer in values.get("nvidia-smi", {}).items()}
    rows = [{"what": name, "is": fact} for name, fact in facts.items()]
    return [Table("The machine", {"what": "", "is": ""}, rows, "Clocks in MHz and power in W, when the script began.")]
