"""Objects of the user's own, named as ``module:name``: factories, builders, wrappers.

>>> load_object("collections:OrderedDict", "example")
<class 'collections.OrderedDict'>
"""

from __future__ import annotations

import difflib
import importlib
import os
import pkgutil
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from greenroom.errors import ConfigurationError


def load_object(reference: str, what: str) -> Any:
    """Import and return the object called ``reference``, such as ``my_package.tasks:make``.

    Modules are also found in the current directory, as with ``python -m``.

    Args:
        reference: ``module:name``; the name may have dots (``module:Class.method``).
        what: what the object is for; the error message begins with it.

    Raises:
        ConfigurationError: the reference is malformed, there is no such module or
            name, or importing the module raised.
    """
    module_name, colon, name = reference.partition(":")
    if not (colon and _is_dotted(module_name) and _is_dotted(name)):
        raise ConfigurationError(
            f"The {what} must be given as 'module:name'. "
            f"Got: {reference!r}{_dotted_suggestion(reference)}."
        )
    found: Any = import_module(module_name, what)
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            raise ConfigurationError(
                f"The {what} must name an object in module {module_name!r}. "
                f"Got: {reference!r}, no {part!r} there{did_you_mean(part, _public(found))}."
            ) from error
    return found


def import_module(name: str, what: str) -> ModuleType:
    """Import the module ``name``, which may lie in the current directory.

    Raises:
        ConfigurationError: there is no such module, or importing it raised.
    """
    directory = os.getcwd()
    if directory not in sys.path and "" not in sys.path:
        sys.path.insert(0, directory)
    # Files written since this process began are not in the finders' caches.
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except Exception as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and f"{name}.".startswith(f"{missing}."):
            raise ConfigurationError(
                f"The {what} must be in a module that Python finds, installed or in the current "
                f"directory. Got: no module {missing!r}"
                f"{did_you_mean(missing, _siblings(missing))}."
            ) from error
        raise ConfigurationError(
            f"The module of the {what} must import without an error. "
            f"Got: importing {name!r} raised {type(error).__name__}: {error}"
        ) from error


def did_you_mean(word: str, possible: Iterable[str]) -> str:
    """Return ``" (did you mean X or Y?)"`` with what resembles ``word``, or nothing."""
    by_lower = {candidate.lower(): candidate for candidate in possible}
    close = difflib.get_close_matches(word.lower(), by_lower, n=3, cutoff=0.7)
    return f" (did you mean {' or '.join(by_lower[match] for match in close)}?)" if close else ""


def _is_dotted(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _dotted_suggestion(reference: str) -> str:
    """``package.module.name`` is how other tools write it."""
    module, _, name = reference.rpartition(".")
    if ":" not in reference and _is_dotted(reference) and module:
        return f" (did you mean {module}:{name}?)"
    return ""


def _public(owner: Any) -> list[str]:
    return [name for name in dir(owner) if not name.startswith("_")]


def _siblings(module: str) -> list[str]:
    """Return the names of the modules where ``module`` was looked for."""
    parent, _, _ = module.rpartition(".")
    if not parent:
        return [found.name for found in pkgutil.iter_modules()]
    path = getattr(sys.modules.get(parent), "__path__", None)
    return [f"{parent}.{found.name}" for found in pkgutil.iter_modules(path)] if path else []
