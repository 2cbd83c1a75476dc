"""Finding CuPy and a device, and what is said where something is missing."""

import importlib.metadata
import importlib.util
import os
import stat
import subprocess
import sys

import pytest

from minillm.cuda import compiled, driver, sources
from minillm.errors import ConfigError

CUPY = importlib.util.find_spec("cupy") is not None
NVRTC = any(d.name.startswith("nvidia-cuda-nvrtc") for d in importlib.metadata.distributions())


class CUDARuntimeError(RuntimeError):
    pass


class Runtime:
    """Stands for cupy.cuda.runtime: what the three calls return, or raise."""

    CUDARuntimeError = CUDARuntimeError

    def __init__(self, *, built=13000, driver=13020, devices=1):
        self._built, self._driver, self._devices = built, driver, devices

    def runtimeGetVersion(self):
        return self._built

    def driverGetVersion(self):
        return _or_raise(self._driver)

    def getDeviceCount(self):
        return _or_raise(self._devices)


def _or_raise(value):
    if isinstance(value, str):
        raise CUDARuntimeError(value)
    return value


def test_a_device_is_accepted():
    driver.check_device(Runtime())
    driver.check_device(Runtime(built=12090, driver=13000))  # a newer driver runs what is older


@pytest.mark.parametrize(
    ("runtime", "message"),
    [
        (Runtime(driver=0), "no NVIDIA driver.*MINILLM_CUDASIM=1"),
        (Runtime(driver="cudaErrorInsufficientDriver"), "no NVIDIA driver"),
        (Runtime(driver=12040), r"CuPy is for CUDA 13.0, the driver goes up to CUDA 12.4: .*\.\[gpu-cuda12\]"),
        (Runtime(devices="cudaErrorNoDevice"), "finds no usable device: cudaErrorNoDevice"),
        (Runtime(devices=0), "CUDA_VISIBLE_DEVICES"),
    ],
)
def test_what_is_missing_is_said(runtime, message):
    with pytest.raises(ConfigError, match=message):
        driver.check_device(runtime)


def backend_cuda(hidden, **environment):
    """What `use_backend("cuda")` says in a process of its own in which some packages can't be found."""
    code = f"""
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name in {hidden} else found(name, *rest)
import minillm as ml
try:
    ml.use_backend("cuda")
except ml.errors.ConfigError as error:
    print(error)
"""
    kept = {name: value for name, value in os.environ.items() if name != "MINILLM_CUDASIM"}
    done = subprocess.run([sys.executable, "-c", code], env={**kept, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_cupy_it_says_how_to_install_it():
    message = backend_cuda(["cupy"])
    assert 'pip install -e ".[gpu-cuda12]" or pip install -e ".[gpu-cuda13]"' in message


@pytest.mark.skipif(not CUPY or os.path.exists("/dev/nvidia0"), reason="needs CuPy, and no GPU")
def test_without_a_driver_it_says_so():
    assert "no NVIDIA driver" in backend_cuda([])


def test_the_emulator_says_what_it_needs():
    assert 'pip install -e ".[cudasim]"' in backend_cuda(["ml_dtypes"], MINILLM_CUDASIM="1")
    assert "MINILLM_CUDASIM is 'true'; 1 runs" in backend_cuda([], MINILLM_CUDASIM="true")


def test_importing_minillm_imports_nothing_of_a_gpu():
    code = """
import sys, minillm, minillm.train, minillm.plan
print([name for name in ("cupy", "numba", "ml_dtypes", "minillm.cuda.driver") if name in sys.modules])
"""
    kept = {name: value for name, value in os.environ.items() if name != "MINILLM_CUDASIM"}
    done = subprocess.run([sys.executable, "-c", code], env=kept, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_compiled_kernels_are_kept_where_others_can_t_write(tmp_path, monkeypatch):
    monkeypatch.setenv("MINILLM_CACHE", str(tmp_path / "cache"))
    made = []

    def make(path):
        made.append(path)
        path.write_bytes(b"code")

    assert compiled.kept("a.cubin", make) == compiled.kept("a.cubin", make)
    assert len(made) == 1 and stat.S_IMODE((tmp_path / "cache" / "kernels").stat().st_mode) == 0o700
    (tmp_path / "cache" / "kernels").chmod(0o777)
    with pytest.raises(ConfigError, match="others than you may write to it: chmod 700"):
        compiled.kept("b.cubin", make)


def test_a_compilation_that_fails_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("MINILLM_CACHE", str(tmp_path))

    def fail(path):
        path.write_bytes(b"half")
        raise ConfigError("no")

    with pytest.raises(ConfigError):
        compiled.kept("a.cubin", fail)
    assert list((tmp_path / "kernels").iterdir()) == []


def test_a_kernel_s_name_changes_with_every_file_it_is_made_of(tmp_path, monkeypatch):
    (tmp_path / "common.cuh").write_text("// shared")
    kernel = tmp_path / "k.cu"
    kernel.write_text('#include "common.cuh"\n')
    monkeypatch.setattr(sources, "folder", lambda: tmp_path)
    names = [sources.digest(kernel), sources.digest(kernel, "sm_90")]
    (tmp_path / "common.cuh").write_text("// changed")
    names.append(sources.digest(kernel, "sm_90"))
    assert len(set(names)) == 3 and sources.files_of(kernel) == [kernel, tmp_path / "common.cuh"]


@pytest.mark.skipif(not CUPY or not NVRTC, reason="needs CuPy, and NVRTC: pip install nvidia-cuda-nvrtc")
def test_sources_that_don_t_compile_are_shown():
    from cupy.cuda import nvrtc

    path = sources.folder() / "cast.cu"
    assert compiled.cubin(nvrtc, path, "sm_90")[:4] == b"\x7fELF"
    with pytest.raises(ConfigError, match="cast.cu can't be compiled for sm_12: .*"):
        compiled.cubin(nvrtc, path, "sm_12")
