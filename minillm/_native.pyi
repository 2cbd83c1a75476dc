# The C++ module (csrc/cpu/module.cpp): to the type checker its functions take and give anything, as they check themselves.
from typing import Any

def __getattr__(name: str) -> Any: ...
