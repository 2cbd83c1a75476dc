"""Tiny Shakespeare: the corpus small GPTs are compared on. Fetched once, used only if its SHA-256 is right.

The text is in the public domain; the file is the one of Andrej Karpathy's char-rnn.
"""

import hashlib
import os
import urllib.request
from pathlib import Path
from typing import IO, Any

from minillm.errors import DataError

URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
FILE = "tinyshakespeare.txt"
MAX_BYTES = 2 * 2**20
TIMEOUT_S = 30


def fetch() -> Path:
    """The file: from folder $MINILLM_DATA, else from this user's cache, else downloaded into that cache.

    Raises DataError, naming the way out, when it can't be had or isn't the file it should be.
    """
    folder = os.environ.get("MINILLM_DATA")
    if folder and (Path(folder) / FILE).exists():
        return _checked(Path(folder) / FILE)
    return _download()


def _checked(path: Path) -> Path:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != SHA256:
        raise DataError(
            f"{path} isn't tiny Shakespeare: its SHA-256 is {found}, not {SHA256}. Remove it, or put the right file "
            "there; to train on this text as it is, give its path as the corpus"
        )
    return path


def _download() -> Path:
    import pooch

    cache = pooch.os_cache("minillm")
    try:  # pooch downloads under a temporary name, checks the hash, and only then gives the file its name
        return Path(pooch.retrieve(URL, f"sha256:{SHA256}", fname=FILE, path=cache, downloader=_save))
    except (OSError, ValueError) as error:
        folder = os.environ.get("MINILLM_DATA")
        looked = f"{folder} (MINILLM_DATA) has no {FILE}; " if folder else ""
        raise DataError(
            f"{looked}can't get the corpus 'shakespeare' from {URL}: {error}. Without a network, use the default "
            f"corpus 'python-docs', which needs none, or put {FILE} into a folder and name it: MINILLM_DATA=FOLDER"
        ) from error


def _save(url: str, target: str | IO[bytes], _pooch: Any) -> None:
    """pooch's downloader, with limits: https to the end of every redirect, a size cap, a time-out."""
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
        if not response.geturl().startswith("https://"):
            raise OSError(f"redirected to {response.geturl()}, which isn't https")
        content = response.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise OSError(f"the download is larger than {MAX_BYTES} bytes, so it can't be the right file")
    if isinstance(target, str):
        Path(target).write_bytes(content)
    else:
        target.write(content)
