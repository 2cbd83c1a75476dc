"""Libraries of the extra `evaluate`: imported when a measure of theirs is asked for, not before."""

from importlib import import_module
from types import ModuleType

from minillm.errors import ConfigError


def library(module: str, package: str) -> ModuleType:
    """Import `module` of the PyPI `package`; ConfigError that says how to install it, where it isn't."""
    try:
        return import_module(module)
    except ImportError:
        raise ConfigError(f"this needs {package}; install it: python -m pip install {package}") from None
