"""Lines said before: exactly, or nearly so. A model that reads a line a thousand times learns it by heart.

Both steps remember the lines they have seen, from one document to the next, in bounded memory, and decide the same in
every process: nothing depends on Python's hash seed. Short lines (a speaker's name, a closing bracket) always stay.
"""

import hashlib
from collections.abc import Callable

import numpy as np

from minillm.data.cleaning.step import Cleaned

MIN_BYTES = 20  # shorter lines are kept however often they come; about seven Chinese characters

_BANDS, _ROWS = 8, 4
_HASHES = _BANDS * _ROWS
_SHINGLE = 5  # characters
_rng = np.random.Generator(np.random.Philox(key=2049))
_MULTIPLIERS = _rng.integers(2**63, size=_HASHES, dtype=np.uint64) * 2 + 1  # odd: a bijection modulo 2^64
_SHINGLE_MULTIPLIERS = _rng.integers(2**63, size=_SHINGLE, dtype=np.uint64) * 2 + 1


class DuplicateLines:
    """Drops a line that has come before; counts lines.

    Memory: some 100 bytes a line, for the last `capacity` lines at most; when full it forgets all and starts again.
    """

    def __init__(self, capacity: int = 1_000_000):
        self.capacity = capacity
        self.seen: set[bytes] = set()

    def __call__(self, text: str) -> Cleaned:
        return _drop_lines(text, self.is_repeated)

    def is_repeated(self, line: str) -> bool:
        """Whether the line has come before; remembers it."""
        digest = hashlib.blake2b(line.encode(errors="surrogatepass"), digest_size=8).digest()
        if digest in self.seen:
            return True
        if len(self.seen) >= self.capacity:
            self.seen.clear()
        self.seen.add(digest)
        return False


class NearDuplicateLines:
    """Drops a line that resembles an earlier one: about `threshold` of their 5-letter pieces in common; counts lines.

    MinHash (Broder 1997): two lines agree in a minimum hash with a probability that is the Jaccard similarity of their
    sets of pieces, so the share of 32 minima that agree estimates it, give or take 0.06. Looked for only among lines
    that share one of 8 bands of 4 minima (locality-sensitive hashing), which finds 98 % of those at 0.8.
    Memory: some 1.5 kB a line, for the last `capacity` lines at most; when full it forgets all and starts again.
    """

    def __init__(self, threshold: float = 0.8, capacity: int = 50_000):
        self.threshold, self.capacity = threshold, capacity
        self.signatures: list[np.ndarray] = []
        self.bands: dict[bytes, int] = {}

    def __call__(self, text: str) -> Cleaned:
        return _drop_lines(text, self.is_repeated)

    def is_repeated(self, line: str) -> bool:
        """Whether a similar line has come before; remembers it if not."""
        minima = signature(line)
        bands = [bytes([i]) + minima[i * _ROWS : (i + 1) * _ROWS].tobytes() for i in range(_BANDS)]
        candidates = {self.bands[band] for band in bands if band in self.bands}
        if any((self.signatures[i] == minima).mean() >= self.threshold for i in candidates):
            return True
        if len(self.signatures) >= self.capacity:
            self.signatures.clear()
            self.bands.clear()
        for band in bands:
            self.bands.setdefault(band, len(self.signatures))
        self.signatures.append(minima)
        return False


def signature(line: str) -> np.ndarray:
    """The MinHash signature of a line: for 32 hash functions, the least hash of its 5-letter pieces, uint32.

    Each is a product modulo 2^64 of which the high bits are kept, since the low ones of a product are poor.
    """
    codes = np.frombuffer(line.ljust(_SHINGLE).encode("utf-32-le", errors="surrogatepass"), dtype="<u4").astype(
        np.uint64
    )
    pieces = np.lib.stride_tricks.sliding_window_view(codes, _SHINGLE)
    hashes = (pieces * _SHINGLE_MULTIPLIERS).sum(axis=1, dtype=np.uint64)
    return ((hashes * _MULTIPLIERS[:, None]) >> np.uint64(32)).min(axis=1).astype(np.uint32)


def _drop_lines(text: str, is_repeated: Callable[[str], bool]) -> Cleaned:
    kept, removed, example = [], 0, ""
    for line in text.split("\n"):
        content = " ".join(line.split())
        if len(content.encode(errors="surrogatepass")) >= MIN_BYTES and is_repeated(content):
            removed, example = removed + 1, example or content
        else:
            kept.append(line)
    return Cleaned("\n".join(kept), removed, example)
