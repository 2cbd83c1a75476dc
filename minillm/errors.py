"""Errors written for the person at the keyboard.

Each names what was given, what was expected and how to mend it. Commands print
such a message alone, without a traceback, and exit with code 2 (see cli.py).
"""


class UserError(Exception):
    """An input is wrong, not the program."""


class ShapeError(UserError, ValueError):
    """Operands whose shapes or dtypes don't fit an op's rule."""


class ConfigError(UserError, ValueError):
    """A setting that is unknown, of the wrong type, or out of range."""


class DataError(UserError, ValueError):
    """A corpus, text or token stream that can't be used."""


class TokenError(UserError, ValueError):
    """Text or ids that don't fit a tokenizer or a vocabulary."""


class CheckpointError(UserError, ValueError):
    """A run folder or checkpoint that is missing, damaged, or in use."""


class GraphError(UserError, RuntimeError):
    """A backward pass that can't be done: freed, changed, or no gradient wanted."""
