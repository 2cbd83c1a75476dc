"""A checkpoint is saved whole or not at all, and a damaged one is found, named and passed over."""

import errno
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm import tensor_file
from minillm.errors import CheckpointError
from minillm.training import checkpoints, files

MODEL = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([0.5, np.nan], dtype=np.float64)}
OPTIMIZER = {"step": np.array(3), "m.0": np.ones((2, 3), np.float32)}


def save(folder: Path, step: int, value: float = 0.0, best_step: int | None = None, **state: object) -> Path:
    model = {**MODEL, "w": MODEL["w"] + np.float32(value)}
    return checkpoints.save(folder, step, model, OPTIMIZER, {"step": step, "best_step": best_step, **state})


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob(".*")]


def test_what_is_saved_is_loaded_bit_for_bit(tmp_path: Path) -> None:
    loaded = checkpoints.load(save(tmp_path, 7))
    assert loaded.step == 7 and loaded.state == {"step": 7, "best_step": None}
    for name, array in MODEL.items():
        assert loaded.model()[name].tobytes() == array.tobytes()
        assert loaded.model()[name].dtype == array.dtype
    assert loaded.optimizer()["step"].shape == () and loaded.optimizer()["step"] == 3


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12.0).reshape(3, 4).T,
        np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        np.arange(20)[::3],
        np.zeros((0, 5), np.float32),
        np.array(2.5, np.float16),
        np.arange(3, dtype=">f4"),
        np.array([True, False]),
    ],
    ids=["transposed", "fortran", "strided", "empty", "scalar", "big-endian", "bool"],
)
def test_the_safetensors_library_reads_the_values_we_wrote(tmp_path: Path, array: np.ndarray) -> None:
    """safetensors' own reader is the oracle; its writer stores strided arrays with wrong values."""
    from safetensors import safe_open

    tensor_file.write(tmp_path / "x", {"x": array, "odd length": np.zeros(3, np.uint8)})
    with safe_open(tmp_path / "x", framework="numpy") as file:
        np.testing.assert_array_equal(file.get_tensor("x"), array)


def test_an_unknown_dtype_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="'x' has dtype complex128"):
        tensor_file.write(tmp_path / "x", {"x": np.zeros(2, complex)})


def test_size_and_hash_returned_are_those_of_the_file(tmp_path: Path) -> None:
    import hashlib

    size, digest = tensor_file.write(tmp_path / "x", MODEL)
    content = (tmp_path / "x").read_bytes()
    assert (size, digest) == (len(content), hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("name", [*checkpoints.FILES, "manifest.json"])
def test_every_flipped_byte_is_found_and_the_file_named(tmp_path: Path, name: str) -> None:
    path = save(tmp_path, 1)
    content = (path / name).read_bytes()
    rng = np.random.default_rng(0)
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= int(rng.integers(1, 256))
        (path / name).write_bytes(damaged)
        with pytest.raises(CheckpointError, match=name):
            checkpoints.load(path)
    (path / name).write_bytes(content)
    checkpoints.load(path)


@pytest.mark.parametrize("name", [*checkpoints.FILES, "manifest.json"])
def test_every_truncation_and_a_missing_file_are_found(tmp_path: Path, name: str) -> None:
    path = save(tmp_path, 1)
    content = (path / name).read_bytes()
    for length in range(len(content)):
        (path / name).write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=name):
            checkpoints.load(path)
    (path / name).write_bytes(content + b"\0")
    with pytest.raises(CheckpointError, match=name):
        checkpoints.load(path)
    (path / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name}: No such file"):
        checkpoints.load(path)


def test_the_checkpoint_before_a_damaged_one_is_used_with_a_warning(tmp_path: Path) -> None:
    for step in (2, 9, 10):
        save(tmp_path, step, value=step)
    (tmp_path / "step-10" / "model.safetensors").write_bytes(b"")
    warnings: list[str] = []
    found = checkpoints.newest(tmp_path, warnings.append)
    assert found is not None and found.step == 9
    assert (
        len(warnings) == 1
        and "step-10" in warnings[0]
        and "model.safetensors" in warnings[0]
        and "step 9" in warnings[0]
    )


def test_nothing_saved_is_no_error_but_only_damaged_ones_are(tmp_path: Path) -> None:
    assert checkpoints.newest(tmp_path / "missing") is None
    (save(tmp_path, 1) / "state.json").unlink()
    with pytest.raises(CheckpointError, match="no checkpoint can be used"):
        checkpoints.newest(tmp_path)


def test_a_checkpoint_renamed_to_another_step_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="belongs to step 1"):
        checkpoints.load(save(tmp_path, 1).rename(tmp_path / "step-5"))


def test_a_newer_format_is_refused_by_number(tmp_path: Path) -> None:
    path = save(tmp_path, 1)
    manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    (path / "manifest.json").write_text(json.dumps({**manifest, "format": 99}), encoding="utf-8")
    with pytest.raises(CheckpointError, match="format 99, this program reads 1"):
        checkpoints.load(path)


def test_best_is_what_the_newest_state_says_or_the_newest(tmp_path: Path) -> None:
    save(tmp_path, 4)
    save(tmp_path, 8, best_step=4)
    best = checkpoints.best(tmp_path)
    assert best is not None and best.step == 4
    (tmp_path / "step-4" / "state.json").unlink()
    warnings: list[str] = []
    best = checkpoints.best(tmp_path, warnings.append)
    assert best is not None and best.step == 8 and "step-4" in warnings[0]


def test_the_untrained_start_is_the_best_only_where_a_later_step_was_evaluated_and_is_worse(tmp_path: Path) -> None:
    save(tmp_path, 0, best_step=0, evaluated_step=0)
    assert checkpoints.best(tmp_path) == checkpoints.newest(tmp_path)
    for evaluated, expected in ((0, 7), (5, 0)):  # stopped before the first evaluation; the one at step 5 was worse
        save(tmp_path, 7, best_step=0, evaluated_step=evaluated)
        best = checkpoints.best(tmp_path, pytest.fail)
        assert best is not None and best.step == expected


def test_pruning_keeps_the_best_and_the_last_two(tmp_path: Path) -> None:
    for step in range(6):
        save(tmp_path, step)
    checkpoints.prune(tmp_path, best_step=1)
    assert checkpoints.saved_steps(tmp_path) == [1, 4, 5]
    assert hidden(tmp_path) == []


def test_saving_a_step_again_replaces_it(tmp_path: Path) -> None:
    save(tmp_path, 1, value=1)
    save(tmp_path, 1, value=2)
    assert checkpoints.load(tmp_path / "step-1").model()["w"][0, 0] == 2
    assert hidden(tmp_path) == []


def test_what_a_killed_save_left_is_cleaned_or_put_back(tmp_path: Path) -> None:
    save(tmp_path, 1)
    os.replace(save(tmp_path, 2), tmp_path / ".old-step-2")  # killed between the two renames of a replacement
    save(tmp_path, 3)
    (tmp_path / ".old-step-3").mkdir()  # killed after both
    (tmp_path / ".tmp-step-4").mkdir()
    (tmp_path / ".tmp-step-4" / "model.safetensors").write_bytes(b"half")
    checkpoints.recover(tmp_path)
    assert checkpoints.saved_steps(tmp_path) == [1, 2, 3]
    assert hidden(tmp_path) == []
    checkpoints.load(tmp_path / "step-2")


# --- the disk refuses -------------------------------------------------------------------------------------------------


class Faults:
    """Counts calls that reach the disk, and lets the one numbered `fail_at` fail with an errno."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, code: int = errno.ENOSPC) -> None:
        self.calls, self.fail_at, self.code = 0, -1, code
        for name in ("fsync", "replace", "mkdir"):
            monkeypatch.setattr(os, name, self._counted(getattr(os, name)))
        for module in (files, tensor_file):
            monkeypatch.setattr(module, "open", self._open, raising=False)

    def arm(self, fail_at: int) -> None:
        self.calls, self.fail_at = 0, fail_at

    def _counted(self, function: Callable) -> Callable:
        def call(*arguments: object, **options: object) -> object:
            self.calls += 1
            if self.calls == self.fail_at:
                raise OSError(self.code, os.strerror(self.code))
            return function(*arguments, **options)

        return call

    def _open(self, path: Path, mode: str) -> object:
        file = self._counted(open)(path, mode)
        return Faulty(file, self._counted(file.write))


class Faulty:
    """A file whose writes may fail, after half of the bytes went through."""

    def __init__(self, file: object, write: Callable) -> None:
        self._file, self._write = file, write

    def __enter__(self) -> "Faulty":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)

    def write(self, content: bytes) -> None:
        self._file.write(bytes(content)[: len(content) // 2])  # type: ignore[attr-defined]
        self._file.seek(-(len(content) // 2), os.SEEK_CUR)  # type: ignore[attr-defined]
        self._write(content)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES])
@pytest.mark.parametrize("target", [2, 1], ids=["new-step", "same-step"])
def test_a_refusing_disk_raises_and_leaves_a_checkpoint_that_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, target: int
) -> None:
    """Each mkdir, open, write, fsync and rename of a save fails once, in its turn."""
    faults = Faults(monkeypatch, code)
    (tmp_path / "counted").mkdir()
    save(tmp_path / "counted", 1)
    faults.arm(-1)
    save(tmp_path / "counted", target)
    assert (total := faults.calls) > 20
    for fail_at in range(2, total + 1):  # call 1 makes the folder of all checkpoints, which is there
        folder = tmp_path / str(fail_at)
        faults.arm(-1)
        save(folder, 1, value=1)
        faults.arm(fail_at)
        with pytest.raises(CheckpointError, match=os.strerror(code)):
            save(folder, target, value=2)
        faults.arm(-1)
        found = checkpoints.newest(folder, pytest.fail)
        assert found is not None
        assert found.model()["w"][0, 0] in (1, 2)  # the old one; the new one where only the last fsync failed
        assert hidden(folder) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limits on a process's file sizes")
def test_the_operating_systems_own_refusal_is_reported(tmp_path: Path) -> None:
    """Not a simulated fault: the kernel refuses to let any file of the process grow beyond 64 KiB."""
    import resource

    save(tmp_path, 1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, before[1]))
    try:
        with pytest.raises(CheckpointError, match="File too large"):
            checkpoints.save(tmp_path, 2, {"w": np.zeros(100_000)}, OPTIMIZER, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert checkpoints.saved_steps(tmp_path) == [1] and hidden(tmp_path) == []


# --- files nobody wrote -----------------------------------------------------------------------------------------------


def tensor_bytes(header: object, data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize(
    "content",
    [
        b"",
        struct.pack("<Q", 2**63),
        struct.pack("<Q", 99_000_000),
        tensor_bytes([1, 2]),
        tensor_bytes({"x": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4 * 10**12]}}),
        tensor_bytes({"x": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 0]}}),
        tensor_bytes({"x": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}, b"1234"),
        tensor_bytes({"x": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}, b"1234"),
        struct.pack("<Q", 50_000) + b"[" * 50_000,
    ],
    ids=["empty", "huge header", "long header", "list", "terabytes", "overflow", "backwards", "bfloat16", "deep"],
)
def test_a_crafted_tensor_file_is_refused_without_taking_memory(tmp_path: Path, content: bytes) -> None:
    import tracemalloc

    (tmp_path / "x").write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match="can't be read as safetensors"):
            tensor_file.read(tmp_path / "x")
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 300))
def test_random_bytes_never_crash_the_loader(content: bytes, position: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "x"
        tensor_file.write(path, MODEL)
        whole = path.read_bytes()
        path.write_bytes(whole[:position] + content + whole[position + len(content) :])
        try:
            tensor_file.read(path)
        except CheckpointError as error:
            assert str(path) in str(error)


@pytest.mark.parametrize(
    "content", [b"[" * 60_000, b"\xff\xfe", b"[]", b"{}", b"null", b" " * 2_000_000, b'{"format": 1}']
)
def test_a_crafted_manifest_is_refused(tmp_path: Path, content: bytes) -> None:
    path = save(tmp_path, 1)
    (path / "manifest.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"step-1 is damaged: manifest\.json"):
        checkpoints.load(path)


def test_a_manifest_with_a_right_checksum_but_wrong_fields_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path, 1)
    (path / "manifest.json").write_bytes(checkpoints._manifest(1, {name: {"size": 1} for name in checkpoints.FILES}))
    with pytest.raises(CheckpointError, match=r"manifest\.json is damaged"):
        checkpoints.load(path)


def test_no_module_that_loads_can_reach_pickle() -> None:
    """Neither pickle nor NumPy's loader, which falls back to it, is named in the training code."""
    sources = [path.read_text(encoding="utf-8") for path in Path(checkpoints.__file__).parent.glob("*.py")]
    assert sources
    for word in ("import pickle", "np.load", "allow_pickle", "eval(", "exec("):
        assert not any(word in source.replace(".eval()", "").replace("def _eval", "") for source in sources), word
