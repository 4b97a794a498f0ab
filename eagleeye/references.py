"""A user's own function, named as `package.module:function`."""

import importlib
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from eagleeye.errors import EagleEyeError

# Its functions build no networks and load no images, but run commands: `os:system`.
_PYTHONS = "is part of Python itself; name a function of your project's folder or of an installed package"


def resolve(reference: str, error: type[EagleEyeError]) -> Callable[..., Any]:
    """Import the function that a reference names.

    Args:
        reference: `package.module:function`.
        error: Class of the error to raise, according to what the function is for.

    Returns:
        The function, or whatever else is callable under that name.

    Raises:
        EagleEyeError: Of the class `error`: the module or the function is missing, is part of Python itself, or
            importing the module failed.
    """
    module_name, _, attribute = reference.partition(":")
    if not module_name or not attribute or ":" in attribute:
        raise error(f"{reference!r} is not of the form package.module:function")
    if _is_pythons(module_name):
        raise error(f"{reference}: {module_name} {_PYTHONS}")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as cause:
        if cause.name is not None and (module_name == cause.name or module_name.startswith(cause.name + ".")):
            raise error(
                f"{reference}: there is no module {cause.name!r}; install it, or put its folder on PYTHONPATH"
            ) from cause
        raise error(f"{reference}: importing {module_name} failed: {described(cause)}") from cause
    except Exception as cause:
        raise error(f"{reference}: importing {module_name} failed: {described(cause)}") from cause
    function: Callable[..., Any] | None = getattr(module, attribute, None)
    if not callable(function):
        state = "is not a function" if hasattr(module, attribute) else "is missing"
        raise error(f"{reference}: {attribute!r} {state} in {module.__file__ or module_name}")
    if _is_pythons(home := _home(function)):
        raise error(f"{reference}: {attribute!r} comes from {home}, which {_PYTHONS}")
    return function


def _is_pythons(module_name: str) -> bool:
    return module_name.partition(".")[0] in sys.stdlib_module_names


def _home(function: Callable[..., Any]) -> str:
    while isinstance(function, partial):
        function = function.func
    return str(getattr(function, "__module__", ""))


def described(cause: BaseException) -> str:
    """An exception in one line: its class, and its message where it has one."""
    text = " ".join(str(cause).split())
    return f"{type(cause).__name__}: {text}" if text else type(cause).__name__
