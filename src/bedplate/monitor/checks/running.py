"""Running checks against whoever answers: the service itself, in its process, or a deployment over HTTP."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from bedplate.monitor.auth.tokens import Grant
from bedplate.monitor.checks.items import Item
from bedplate.monitor.checks.judging import Outcome, Reply, Result, judged
from bedplate.monitor.checks.paths import MISSING, found
from bedplate.problems import BedplateError

__all__ = ["Ask", "Question", "Report", "Runner"]

#: Questions without any answer, one after the other, after which nothing more is asked.
_PATIENCE = 3
#: Records are handed over between processes, and written in batches: how often to look, and how long to wait between.
_LOOKS, _PAUSE = 15, 0.2


@dataclass(frozen=True, slots=True)
class Question:
    """One request. :ivar authorized: whether it carries what identifies us."""

    path: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    authorized: bool = True


#: Asks one question. It raises :class:`BedplateError` when there is no answer.
Ask = Callable[[Question], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Report:
    """What became of all checks, in their order. :ivar seconds: that all of it took."""

    results: tuple[Result, ...]
    seconds: float

    def count(self, outcome: Outcome) -> int:
        """Return how many ended so."""
        return sum(result.outcome == outcome for result in self.results)

    def document(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "passed": self.count("passed"),
            "warnings": self.count("warning"),
            "failed": self.count("failed"),
            "seconds": round(self.seconds, 3),
            "results": [_row(result) for result in self.results],
        }


class Runner:
    """Runs checks one after the other, so that checking harms nobody.

    An answer that several checks look at is asked for once.

    :param grant: what the questions are permitted; checks that need more are not asked and are warnings.
    :param presented: whether they carry a token; on a development machine they are permitted much without one.
    :param told: is given every result as it comes.
    :param clock: seconds that only grow.
    """

    def __init__(
        self,
        ask: Ask,
        *,
        grant: Grant | None,
        presented: bool = True,
        told: Callable[[Result], None] | None = None,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._ask = ask
        self._grant: Grant | None = grant
        self._presented = presented
        self._told = told or (lambda result: None)
        self._clock = clock
        self._sleep = sleep
        self._answers: dict[tuple[str, str, bool], Reply | BedplateError] = {}
        self._silent = 0

    async def run(self, items: Iterable[Item]) -> Report:
        """Run checks and return what became of them."""
        begun = self._clock()
        results = []
        for item in items:
            result = await self._one(item)
            self._told(result)
            results.append(result)
        return Report(tuple(results), self._clock() - begun)

    async def _one(self, item: Item) -> Result:
        if not item.permits(self._grant):
            held = f"the token is {self._grant}" if self._grant is not None else "there is none"
            return Result(item, "warning", f"not asked: it needs a token of {item.role}, and {held}")
        if self._silent >= _PATIENCE:
            return Result(item, "failed", "not asked: the service has stopped answering")
        try:
            if item.kind == "answer":
                reply = await self._answer(Question(item.path, item.method, _ANY, not item.anonymous))
                if reply.status == 401 != item.expect and not self._presented:
                    return Result(item, "warning", "it asks for a token even here", reply.seconds)
                return judged(item, reply)
            return await self._recalled(item)
        except BedplateError as error:
            return Result(item, "warning" if item.optional else "failed", error.what)

    async def _answer(self, question: Question) -> Reply:
        key = (question.path, question.method, question.authorized)
        known = self._answers.get(key)
        if known is None:
            try:
                known = await self._ask(question)
                self._silent = 0
            except BedplateError as error:
                known = error
                self._silent += 1
            self._answers[key] = known
        if isinstance(known, BedplateError):
            raise known
        return known

    async def _recalled(self, item: Item) -> Result:
        """Make a request that asks to be traced, and look for what the service keeps of it."""
        trace = secrets.token_hex(16)
        sent = {"x-request-id": f"smoke-{trace}", "traceparent": f"00-{trace}-{secrets.token_hex(8)}-01", **_ANY}
        reply = await self._ask(Question(item.path, item.method, sent))
        management = item.path.rpartition("/")[0]
        if item.kind == "log":
            # A service that does not take over the ids of others says which one it gave.
            request = reply.headers.get("x-request-id", sent["x-request-id"])
            where, what = f"{management}/logs?limit=1&request_id={quote(request, safe='')}", f"log record of {request}"
        else:
            where, what = f"{management}/traces/{trace}", f"trace {trace}"
        for look in range(_LOOKS):
            kept = await self._ask(Question(where, headers=_ANY))
            first = found(kept.document(), "items.0" if item.kind == "log" else "trace_id")
            if kept.status == 200 and first is not MISSING:
                return Result(item, "passed", "", reply.seconds)
            if look < _LOOKS - 1:
                await self._sleep(_PAUSE)
        return Result(item, "failed", f"the {what} is not found: it answers {kept.status}", reply.seconds)


#: Metrics come as text and all else as JSON to whoever has no wish.
_ANY: Mapping[str, str] = {"accept": "*/*"}


def _row(result: Result) -> dict[str, Any]:
    item = result.item
    row: dict[str, Any] = {"name": item.name, "group": item.group, "suite": item.suite, "outcome": result.outcome}
    row |= {"summary": item.summary, "method": item.method, "path": item.path}
    if result.detail:
        row["detail"] = result.detail
    return row | {"seconds": None if result.seconds is None else round(result.seconds, 4)}
