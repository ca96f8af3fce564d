"""From ``module:attribute`` to a service that is built and checked."""

from __future__ import annotations

import importlib
import inspect
import sys
import typing
from pathlib import Path
from typing import Any

from bedplate.problems import BedplateError, RefusedError
from bedplate.service.process import Process
from bedplate.service.service import Service
from bedplate.settings import Settings

__all__ = ["load"]


def load(target: str) -> Service | Process:
    """Return the service of ``module:attribute``: a factory ``build(settings)``, or a service made already.

    A factory is called with the settings class that its parameter is annotated with, read from the environment.

    :raises BedplateError: when there is no such thing.
    :raises RefusedError: with every fault of the settings and every reason why the service may not start.
    """
    module_name, _, attribute = target.partition(":")
    if not module_name or not attribute:
        raise BedplateError(f"{target!r} is not module:attribute.", "Write it as in: bedplate run ledger.service:build")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise BedplateError(
            f"There is no module {module_name!r}.", "Run the command where it can be imported, or install its package."
        ) from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise BedplateError(f"Module {module_name} has no {attribute!r}.", "Name its factory: build(settings).")
        found = getattr(found, part)
    built = found if isinstance(found, Service | Process) else _build(target, found)
    refusals = built.refusals()
    if refusals:
        raise RefusedError(target, refusals)
    return built


def _build(target: str, factory: Any) -> Service | Process:
    if not callable(factory):
        raise BedplateError(f"{target} is neither a service nor a factory.", "Name a function build(settings).")
    parameters = list(inspect.signature(factory).parameters.values())
    if parameters:
        with _settings_class(factory, parameters[0].name).collecting() as settings:
            built = factory(settings)
    else:
        built = factory()
    if not isinstance(built, Service | Process):
        raise BedplateError(f"{target} gave a {type(built).__name__}.", "Return a Service or a Process from it.")
    return built


def _settings_class(factory: Any, parameter: str) -> type[Settings]:
    try:
        annotation = typing.get_type_hints(factory).get(parameter)
    except NameError:
        annotation = None
    return annotation if isinstance(annotation, type) and issubclass(annotation, Settings) else Settings
