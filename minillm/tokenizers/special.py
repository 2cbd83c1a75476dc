"""Special tokens: names that stand for one id and never come out of ordinary text."""

from collections.abc import Iterable, Mapping
from typing import Any

from minillm.errors import ConfigError

UNKNOWN = "<unk>"
LARGEST_VOCABULARY = 1 << 24  # far above any in use; an id beyond it in a file would ask a model for endless memory


def number_specials(names: Iterable[str], first: int) -> dict[str, int]:
    """The names with ids from `first` on. ConfigError for one that is empty, given twice, or can't be written."""
    if isinstance(names, str):
        raise ConfigError(f"special_tokens is a list of names; write [{names!r}]")
    listed = list(names)
    if len(set(listed)) != len(listed):
        raise ConfigError(f"a special token is given twice: {listed}")
    return check_specials({name: first + i for i, name in enumerate(listed)})


def check_specials(specials: Any) -> dict[str, int]:
    """The special tokens of a file or a caller: names with ids; ConfigError (a ValueError) if they aren't."""
    if not isinstance(specials, Mapping):
        raise ConfigError("special_tokens must map names to ids")
    for name, token in specials.items():
        if not isinstance(name, str) or not name or any("\ud800" <= c <= "\udfff" for c in name):
            raise ConfigError(f"a special token's name must be text that isn't empty, not {name!r}")
        if type(token) is not int or not 0 <= token < LARGEST_VOCABULARY:
            raise ConfigError(
                f"special token {name!r} must have an id from 0 to {LARGEST_VOCABULARY - 1}, not {token!r}"
            )
    return dict(specials)
