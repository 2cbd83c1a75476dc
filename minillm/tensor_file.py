"""Named arrays to and from a safetensors file: eight bytes of header length, a JSON header, then the raw arrays.

Written by ourselves because one pass then streams each array straight from memory, hashes what it writes, and fails
with the operating system's own error; the library would build a second copy of a model first. Read by the library,
which checks every offset. The format holds no code, so loading one can't run any.
"""

import hashlib
import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from minillm.errors import CheckpointError

_DTYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint64": "U64",
    "uint32": "U32",
    "uint16": "U16",
    "uint8": "U8",
    "bool": "BOOL",
}


def _header(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> bytes:
    entries: dict[str, dict[str, object]] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    for name, array in arrays.items():
        if array.dtype.name not in _DTYPES:
            raise CheckpointError(f"array {name!r} has dtype {array.dtype}; a checkpoint holds {', '.join(_DTYPES)}")
        entries[name] = {
            "dtype": _DTYPES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
    text = json.dumps(entries, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # arrays start on a multiple of eight bytes
    return struct.pack("<Q", len(text)) + text


def write(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Write the arrays, wait until they are on the disk, return (bytes, SHA-256). Raises OSError, CheckpointError.

    Widest items first, so that every array lies on a multiple of its item size. Strided arrays are made contiguous:
    the raw bytes of a transposed array would be read back in another order. metadata: texts by name, for the header.
    """
    ordered = dict(sorted(arrays.items(), key=lambda item: (-item[1].dtype.itemsize, item[0])))
    digest, size = hashlib.sha256(), 0
    with open(path, "wb") as file:

        def put(chunk: bytes | memoryview) -> None:
            nonlocal size
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)

        put(_header(ordered, metadata or {}))
        for array in ordered.values():
            little_endian = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
            put(little_endian.reshape(-1).view(np.uint8).data)
        file.flush()
        os.fsync(file.fileno())
    return size, digest.hexdigest()


def read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file, copied into memory. Raises CheckpointError where the file isn't valid safetensors."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(path)
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{path} can't be read as safetensors: {error}") from error
    for name, array in arrays.items():
        if array.dtype.name not in _DTYPES:  # safetensors reads more where ml_dtypes is installed
            raise CheckpointError(f"{path} can't be read as safetensors: {name!r} has dtype {array.dtype}")
    return arrays
