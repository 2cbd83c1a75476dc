# The C++ module (csrc/cpu/module.cpp). To the type checker its functions take anything: they check it themselves.
from typing import Any

def __getattr__(name: str) -> Any: ...
