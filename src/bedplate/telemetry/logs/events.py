"""Declared domain events: log helpers whose fields are checked by the type checker and cannot leak others.

.. code-block:: python

    @event
    def log_bot_request(*, user_id: int, command: str, duration_ms: float | None = None) -> None:
        \"\"\"A command that a user sent to the bot.\"\"\"

    log_bot_request(user_id=7, command="/spend")

The signature is the declaration: the record's message is ``bot_request``, its fields are the arguments that are not
None, its logger is the module's. The body is never run. A call with other fields is a type error for mypy; at run time,
where logging must not fail, they are left out and named in ``undeclared``, and missing ones are named in ``missing``.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, overload

from bedplate.problems import DeclarationError
from bedplate.telemetry.logs.levels import level_number
from bedplate.telemetry.logs.logger import handled
from bedplate.telemetry.logs.records import make_record

__all__ = ["Event", "event"]

P = ParamSpec("P")


class Event(Generic[P]):
    """A declared event; calling it logs one record.

    :ivar name: the record's message. :ivar level: its level, by number.
    :ivar required: the fields that every record has. :ivar fields: all fields that one may have.
    :raises DeclarationError: when the signature cannot declare fields.
    """

    __doc__: str | None
    __name__: str
    __wrapped__: Callable[P, None]

    def __init__(self, declare: Callable[P, None], *, name: str = "", level: str = "INFO", logger: str = "") -> None:
        update_wrapper(self, declare)
        self.name = name or declare.__name__.removeprefix("log_")
        self.level = level_number(level)
        self.summary = inspect.getdoc(declare) or ""
        self._logger = logging.getLogger(logger or declare.__module__)
        parameters = inspect.signature(declare).parameters
        odd = [name for name, parameter in parameters.items() if parameter.kind is not parameter.KEYWORD_ONLY]
        if odd:
            raise DeclarationError(
                f"The event {self.name} declares {', '.join(odd)} as more than a keyword.",
                "Put * before the parameters, and use neither *args nor **kwargs.",
            )
        self.fields = frozenset(parameters)
        self.required = frozenset(name for name, field in parameters.items() if field.default is field.empty)

    def __call__(self, *args: P.args, **fields: P.kwargs) -> None:
        """Log the event with these fields; ``exc_info``, if declared, is the exception."""
        logger = self._logger
        if not logger.isEnabledFor(self.level):
            return
        context: dict[str, Any] = {name: value for name, value in fields.items() if value is not None}
        given = fields.keys()
        if args or not self.required <= given <= self.fields:
            context = self._declared_only(context, args)
        error = handled(context.pop("exc_info", None))
        logger.handle(make_record(logger, self.level, self.name, context, error, 1))

    def _declared_only(self, context: dict[str, Any], args: tuple[Any, ...]) -> dict[str, Any]:
        undeclared = sorted(context.keys() - self.fields)
        missing = sorted(self.required - context.keys())
        kept = {name: value for name, value in context.items() if name in self.fields}
        if undeclared or args:
            kept["undeclared"] = [*undeclared, *(f"argument {index}" for index in range(len(args)))]
        if missing:
            kept["missing"] = missing
        return kept

    def __repr__(self) -> str:
        return f"<Event {self.name}({', '.join(sorted(self.fields))})>"


@overload
def event(declare: Callable[P, None], /) -> Event[P]: ...
@overload
def event(*, name: str = "", level: str = "INFO", logger: str = "") -> Callable[[Callable[P, None]], Event[P]]: ...
def event(
    declare: Callable[P, None] | None = None, /, *, name: str = "", level: str = "INFO", logger: str = ""
) -> Event[P] | Callable[[Callable[P, None]], Event[P]]:
    """Declare an event by the signature of a function; used as ``@event`` or ``@event(level="WARNING")``.

    :param name: the record's message; by default the function's name without ``log_``.
    :param level: the record's level. :param logger: the logger's name; by default the function's module.
    :raises DeclarationError: when a parameter is not keyword-only. :raises BedplateError: when the level is none.
    """
    if declare is not None:
        return Event(declare)
    return lambda function: Event(function, name=name, level=level, logger=logger)
