"""Ways to use a rate limit that are not a guard: before an endpoint, and around a function."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ParamSpec, Protocol, TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import Response

from bedplate.problems import DeclarationError
from bedplate.state.limits.answers import advice
from bedplate.state.limits.limit import Decision
from bedplate.state.limits.terms import Cost, Keyed

__all__ = ["Dependency", "Taking", "dependency", "limited", "refused"]

P = ParamSpec("P")
T = TypeVar("T")

#: What FastAPI's ``Depends`` takes.
Dependency = Callable[[HTTPConnection, Response], Coroutine[Any, Any, Decision | None]]


class Taking(Protocol):
    """As much of a rate limit as is needed here."""

    def require(self, key: Keyed, cost: int = 1) -> Awaitable[Decision]:
        """Take units, or answer 429."""
        ...

    def key_of(self, request: HTTPConnection) -> Keyed | None:
        """Return whom a request is counted as."""
        ...


def refused(decision: Decision) -> HTTPException:
    """Return what answers the request at hand with a 429 problem."""
    headers = {name.decode(): value.decode() for name, value in decision.headers}
    return HTTPException(429, advice(decision), headers)


def dependency(limit: Taking, key: Callable[[HTTPConnection], Keyed | None] | None, cost: Cost) -> Dependency:
    """Return a dependency of FastAPI that takes units for the request, and gives its answer the headers."""
    whom = key or limit.key_of

    async def rate_limited(request: HTTPConnection, response: Response) -> Decision | None:
        counted = whom(request)
        if counted is None:
            return None
        decision = await limit.require(counted, cost if isinstance(cost, int) else cost(request.scope))
        for name, value in decision.headers:
            response.headers[name.decode()] = value.decode()
        return decision

    return rate_limited


def limited(
    limit: Taking, key: Callable[P, str] | str | None, cost: Callable[P, int] | int
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Coroutine[Any, Any, T]]]:
    """Return a decorator of async functions that takes units before each call."""

    def decorate(function: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        if not inspect.iscoroutinefunction(function):
            name = getattr(function, "__qualname__", repr(function))
            raise DeclarationError(f"{name} is limited, but no async function.", "Write it as `async def`.")
        default = f"{function.__module__}.{function.__qualname__}"

        @functools.wraps(function)
        async def call(*args: P.args, **kwargs: P.kwargs) -> T:
            whom = key(*args, **kwargs) if callable(key) else key or default
            await limit.require(whom, cost(*args, **kwargs) if callable(cost) else cost)
            return await function(*args, **kwargs)

        return call

    return decorate
