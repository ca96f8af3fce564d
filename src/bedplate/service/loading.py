"""From ``module:attribute`` to a service that is built and checked."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
import traceback
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bedplate.problems import BedplateError, DeclarationError, Refusal, RefusedError
from bedplate.service.process import Process
from bedplate.service.service import Service
from bedplate.settings import Settings, SettingsError

__all__ = ["load"]

_PACKAGE = Path(__file__).parents[1]


def load(target: str) -> Service | Process:
    """Return the service of ``module:attribute``: a factory ``build(settings)``, or a service made already.

    A factory is called with the settings class that its parameter is annotated with, read from the environment.

    :raises BedplateError: when there is no such thing, or its own code fails; then with that code's part of the trace.
    :raises RefusedError: with a declaration that cannot be right and its place, or with every fault of the settings and
        every reason why the service may not start.
    """
    module_name, _, attribute = target.partition(":")
    if not module_name or not attribute:
        raise BedplateError(f"{target!r} is not module:attribute.", "Write it as in: bedplate run ledger.service:build")
    if "/" in module_name or module_name.startswith(".") or module_name.endswith(".py"):
        raise BedplateError(
            f"{module_name!r} is a file, not a module.",
            "Name it as Python imports it: bedplate run ledger.service:build",
        )
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    with _own_faults(target):
        try:
            found: Any = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
                raise
            raise BedplateError(
                f"There is no module {module_name!r}.",
                "Run the command where it can be imported, or install its package.",
            ) from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise BedplateError(f"Module {module_name} has no {attribute!r}.", "Name its factory: build(settings).")
        found = getattr(found, part)
    if isinstance(found, Service | Process):
        refusals = found.refusals()
        built: Service | Process = found
    elif inspect.isroutine(found) or inspect.isclass(found) or isinstance(found, functools.partial):
        built, refusals = _build(target, found)
    else:
        raise BedplateError(
            f"{target} is a {type(found).__name__}, neither a service nor a factory of one.",
            "Name a function build(settings) that returns Service(name, app, components).",
        )
    if refusals:
        raise RefusedError(target, refusals)
    return built


def _build(target: str, factory: Callable[..., object]) -> tuple[Service | Process, list[Refusal]]:
    parameters = list(inspect.signature(factory).parameters.values())
    if not parameters:
        with _own_faults(target):
            made = factory()
        built = _checked(target, made)
        return built, built.refusals()
    try:
        inspect.signature(factory).bind(object())
    except TypeError as error:
        raise BedplateError(
            f"{target} cannot be called with the settings alone: {error}.", "Give it the form build(settings)."
        ) from None
    refusals: list[Refusal] = []
    try:
        with _settings_class(factory, parameters[0].name).collecting() as settings:
            with _own_faults(target):
                made = factory(settings)
            built = _checked(target, made)
            # In here, so that the built-in components ask for their sections, whose faults then join the others.
            refusals = built.refusals()
    except SettingsError as error:
        raise RefusedError(target, list(dict.fromkeys([*error.refusals, *refusals]))) from None
    return built, refusals


@contextmanager
def _own_faults(target: str) -> Iterator[None]:
    """Tell of what fails in a service's own code by its place there, without our frames around it."""
    try:
        yield
    except DeclarationError as error:
        place = next((f"{Path(one.filename).name}, line {one.lineno}" for one in reversed(_frames(error))), target)
        raise RefusedError(target, [Refusal(place, error.what, error.mend)]) from error
    except BedplateError:
        raise
    except Exception as error:
        lines = [*traceback.format_list(_frames(error)), *traceback.format_exception_only(error)]
        raise BedplateError(f"{target} cannot be loaded:\n{''.join(lines).rstrip()}") from error


def _frames(error: Exception) -> list[traceback.FrameSummary]:
    def is_ours(path: str) -> bool:
        return path.startswith("<") or Path(path).is_relative_to(_PACKAGE) or path == importlib.__file__

    return [one for one in traceback.extract_tb(error.__traceback__) if not is_ours(one.filename)]


def _checked(target: str, built: object) -> Service | Process:
    if inspect.iscoroutine(built):
        built.close()
        raise BedplateError(f"{target} is asynchronous.", "Build without I/O in a plain function; start in lifespan().")
    if not isinstance(built, Service | Process):
        raise BedplateError(f"{target} gave a {type(built).__name__}.", "Return a Service or a Process from it.")
    return built


def _settings_class(factory: Any, parameter: str) -> type[Settings]:
    try:
        annotation = typing.get_type_hints(factory).get(parameter)
    except (NameError, TypeError):
        annotation = None
    return annotation if isinstance(annotation, type) and issubclass(annotation, Settings) else Settings
