"""Function: finds the async generator function that ANDON_UPSTREAM_API names.

Owns the import and its errors, each one clear line. Does not own what the function yields. The working directory can be
imported from, as with `python -m`: a console script does not have it in `sys.path`. It comes last there, so that a file
which happens to be called like an installed package does not stand in for it.
"""

import importlib
import inspect
import sys
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn, TypeAlias

import msgspec

from worker.upstream.errors import UpstreamMisconfiguredError
from worker.upstream.redact import redactor

Generate: TypeAlias = Callable[[dict[str, Any]], AsyncGenerator[Any, None]]


class OwnFunction(msgspec.Struct, frozen=True):
    """The function, and its name as the setting has it: `package.module:function`."""

    name: str
    generate: Generate


def find_function(name: str) -> OwnFunction:
    """Import the function of this name. Raises UpstreamMisconfiguredError for what will never do."""
    module_name, _, function_name = name.partition(":")
    module = _import(name, module_name)
    found = getattr(module, function_name, None)
    if found is None:
        _refuse(name, f"{module_name} has no {function_name}")
    if not _is_generator_function(found):
        _refuse(name, f"{_kind(found)} is not an async generator function: write `async def` with a `yield` in it")
    try:
        inspect.signature(found).bind({})
    except TypeError as error:
        _refuse(name, f"it must take the request as its only required argument ({error})")
    return OwnFunction(name, found)


def _import(name: str, module_name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        return importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # noqa: BLE001  a module may raise anything; the start ends in one line
        if isinstance(error, ModuleNotFoundError) and f"{module_name}.".startswith(f"{error.name}."):
            _refuse(name, f"there is no module {error.name}, neither installed nor in {here}", error)
        said = " ".join(redactor()(str(error)).split())
        _refuse(name, f"importing {module_name} failed with {type(error).__name__}: {said}", error)


def _refuse(name: str, reason: str, error: BaseException | None = None) -> NoReturn:
    raise UpstreamMisconfiguredError(f"ANDON_UPSTREAM_API={name}: {reason}") from error


def _is_generator_function(found: Any) -> bool:
    """Tell whether calling it makes an async generator: a function, a partial of one, or an object to be called."""
    return inspect.isasyncgenfunction(found) or inspect.isasyncgenfunction(getattr(found, "__call__", None))  # noqa: B004


def _kind(found: Any) -> str:
    if inspect.iscoroutinefunction(found):
        return "a coroutine function"
    if inspect.isgeneratorfunction(found):
        return "a plain generator function"
    return "a function without `yield`" if inspect.isroutine(found) else f"an object of type {type(found).__name__}"
