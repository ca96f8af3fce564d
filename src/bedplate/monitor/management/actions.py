"""Pressing a button: who may, with what, whether it is possible now, and the record of it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from bedplate.declarations import Action, Actor
from bedplate.metric import Counter
from bedplate.monitor.management.views import refusal_of
from bedplate.monitor.replies import ProblemError, invalid
from bedplate.problems import BedplateError, Problem
from bedplate.telemetry.logs.logger import get_logger
from bedplate.telemetry.redaction import Redactor

__all__ = ["ACTIONS", "Buttons"]

ACTIONS = Counter(
    "bedplate_management_actions_total",
    "Actions that somebody asked for, by what became of them.",
    {
        "component": 200,
        "action": 200,
        "outcome": (
            "done",
            "denied",  # the role is too low
            "invalid",  # the parameters are wrong
            "refused",  # not possible now
            "failed",  # it raised
            "unfinished",  # it takes longer than one may wait
        ),
    },
)

_audit = get_logger("bedplate.audit")


class Buttons:
    """Presses buttons and keeps the audit record: the logger ``bedplate.audit`` has an entry for every attempt.

    :param count: receives component, action and outcome.
    :param keep: takes every record for the audit log, and returns its hash there.
    :param states: returns how a component is, for actions that do not say themselves what they act upon.
    """

    def __init__(
        self,
        redactor: Redactor,
        timeout: float,
        count: Callable[[str, str, str], None],
        *,
        keep: Callable[[Mapping[str, Any]], Awaitable[str]] | None = None,
        states: Callable[[str], Any] = lambda component: None,
    ) -> None:
        self._redactor = redactor
        self._timeout = timeout
        self._count = count
        self._keep = keep
        self._states = states
        self._writing: set[asyncio.Task[None]] = set()

    async def press(self, component: str, action: Action, actor: Actor, body: dict[str, object]) -> Any:
        """Validate the parameters, do it, and return its result.

        :raises ProblemError: 422 for wrong parameters, 409 when it is refused now, 504 when it takes too long.
            Whatever else the action raises passes through, to be recorded like any fault of a request.
        """
        try:
            parameters = _parameters(action, body)
        except ProblemError:
            # What did not pass may hold a secret in any field, so only the names are kept.
            await self.record(component, action.name, actor, "invalid", {"given": sorted(body)})
            raise
        shown = parameters.model_dump(mode="json") if parameters is not None else {}
        before = self._state(component, action)

        async def record(outcome: str, reason: str = "", error: BaseException | None = None) -> None:
            after = self._state(component, action)
            await self.record(component, action.name, actor, outcome, shown, reason, error, before=before, after=after)

        refusal = refusal_of(action)
        if refusal is not None:
            await record("refused", refusal)
            raise ProblemError(Problem(status=409, detail=refusal))
        try:
            async with asyncio.timeout(self._timeout) as limit:
                result = await action.run(parameters, actor)
        except asyncio.CancelledError:
            await record("unfinished", "It was cancelled.")
            raise
        except TimeoutError as error:
            if not limit.expired():
                await record("failed", f"TimeoutError: {error}", error)
                raise
            await record("unfinished")
            detail = f"It was not done within {self._timeout:g} s and was cancelled; look at the component's state."
            raise ProblemError(Problem(status=504, detail=detail)) from None
        except BedplateError as error:
            await record("refused", str(error))
            raise ProblemError(Problem(status=409, detail=self._redactor.text(str(error)))) from error
        except Exception as error:
            await record("failed", f"{type(error).__name__}: {error}", error)
            raise
        await record("done")
        return result

    async def record(
        self,
        component: str,
        action: str,
        actor: Actor,
        outcome: str,
        parameters: dict[str, Any],
        reason: str = "",
        error: BaseException | None = None,
        *,
        before: Any = None,
        after: Any = None,
    ) -> None:
        """Write the audit record of one attempt; secrets in it are masked. It is written even if nobody waits for it.

        :param before: what was acted upon, as plain data, before; :param after: and after.
        """
        self._count(component, action, outcome)
        fields: dict[str, Any] = {
            "actor": actor.name,
            "role": actor.role,
            "component": component,
            "action": action,
            "outcome": outcome,
            "parameters": self._redactor.mapping(parameters),
        }
        if reason:
            fields["reason"] = self._redactor.text(reason)
        if before is not None or after is not None:
            fields |= {"before": self._redactor.value(before), "after": self._redactor.value(after)}
        writing = asyncio.create_task(self._write(fields, error), name="audit/record")
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)
        await asyncio.shield(writing)

    async def _write(self, fields: dict[str, Any], error: BaseException | None) -> None:
        if self._keep is not None:
            fields["audit"] = await self._keep({"at": time.time(), **fields})
        level = logging.INFO if fields["outcome"] == "done" else logging.WARNING
        _audit.log(level, f"action_{fields['outcome']}", **fields, exc_info=error)

    def _state(self, component: str, action: Action) -> Any:
        """Return what an action acts upon; that it cannot be told must not keep the action from being done."""
        try:
            return self._states(component) if action.state is None else action.state()
        except Exception as error:
            return {"unknown": type(error).__name__}


def _parameters(action: Action, body: dict[str, object]) -> BaseModel | None:
    if action.parameters is None:
        if body:
            raise ProblemError(invalid([{"loc": (name,), "msg": "This action takes no parameters"} for name in body]))
        return None
    try:
        return action.parameters.model_validate(body)
    except ValidationError as error:
        raise ProblemError(invalid(error.errors(include_input=False, include_url=False))) from None
