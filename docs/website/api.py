"""The API reference: a page for each module or package of minillm, found by looking; its text is the docstrings'."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType

import minillm
from minillm.registry import Op


def pages() -> dict[str, str]:
    """The pages `api/NAME`, as reStructuredText: minillm itself first, then its modules in alphabetical order."""
    seen: set[int] = set()  # what is public under two names is documented under the first
    modules = [minillm, *(_module(f"minillm.{name}") for name in _children(minillm))]
    made = {f"api/{module.__name__}": _page(module, seen) for module in modules}
    return {"api/index": _index(modules), **made}


def _index(modules: list[ModuleType]) -> str:
    rows = [f"- :doc:`{m.__name__}`: {_first_line(m)}" for m in modules]
    names = "\n".join(f"   {m.__name__}" for m in modules)
    toctree = f".. toctree::\n   :hidden:\n\n{names}\n"
    intro = "Every public class, function and op, from its docstring, with a link to its lines."
    return "\n\n".join([_title("API reference", "="), intro, "\n".join(rows), toctree])


def _first_line(module: ModuleType) -> str:
    from docs.website.docstrings import to_rst

    return " ".join(to_rst((module.__doc__ or "").strip().split("\n\n")[0]).split())


def _page(module: ModuleType, seen: set[int]) -> str:
    parts = [_title(module.__name__, "="), f".. automodule:: {module.__name__}"]
    parts += _entries(module, seen)
    for child in _sections(module):
        entries = _entries(child, seen)
        if entries:
            parts += [_title(child.__name__, "-"), f".. automodule:: {child.__name__}", *entries]
    return "\n\n".join(parts) + "\n"


def _sections(module: ModuleType) -> Iterator[ModuleType]:
    """Parts of a package with a section of their own: packages in it, and all its modules if it exports no names."""
    if module is minillm or not hasattr(module, "__path__"):
        return
    for name in _children(module):
        child = _module(f"{module.__name__}.{name}")
        if hasattr(child, "__path__") or not hasattr(module, "__all__"):
            yield child
            yield from _sections(child)


def _entries(module: ModuleType, seen: set[int]) -> list[str]:
    entries = []
    for name in _public(module):
        found = getattr(module, name)
        if id(found) in seen:
            continue
        seen.add(id(found))
        if inspect.isclass(found):
            bases = "" if found.__bases__ == (object,) else "\n   :show-inheritance:"
            entries.append(f".. autoclass:: {module.__name__}.{name}\n   :members:{bases}")
        elif callable(found) or isinstance(found, Op):
            entries.append(f".. autofunction:: {module.__name__}.{name}")
    return entries


def _public(module: ModuleType) -> list[str]:
    """The names it exports, or, without `__all__`, those of the functions and classes it defines; a command's `main`
    isn't one."""
    if hasattr(module, "__all__"):
        return [name for name in module.__all__ if not inspect.ismodule(getattr(module, name))]
    names = [name for name in vars(module) if not name.startswith("_") and name != "main"]
    return [name for name in names if getattr(getattr(module, name), "__module__", None) == module.__name__]


def _children(package: ModuleType) -> list[str]:
    return sorted(child.name for child in pkgutil.iter_modules(package.__path__) if not child.name.startswith("_"))


def _module(name: str) -> ModuleType:
    return importlib.import_module(name)


def _title(text: str, line: str) -> str:
    return f"{text}\n{line * len(text)}"
