"""The decorator: a function whose values are cached, called as before.

The hit path is the wrapper itself: build the key, look into a dictionary, compare two numbers, return. There is no
second coroutine, no task and no lock in it.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import typing
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

from bedplate.problems import DeclarationError
from bedplate.state.cache.codec import codec_of
from bedplate.state.cache.entries import RAW
from bedplate.state.cache.errors import CacheKeyError
from bedplate.state.cache.keys import LONGEST, Builder, compiled, default_template, part, stored, template_pattern
from bedplate.telemetry.context import current

if TYPE_CHECKING:
    from bedplate.state.cache.component import Cache

__all__ = ["Cached", "Decorator", "decorate"]

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

Key = str | Callable[..., str] | None
Tags = Sequence[str | Callable[..., str]] | Callable[..., Sequence[str]]


class Cached(Protocol[P, R_co]):
    """A function whose values are cached."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """Return the value, from the cache if it has one."""
        ...

    def __get__(
        self: Cached[Concatenate[Any, Q], R], instance: object, owner: type | None = None, /
    ) -> Callable[Q, Coroutine[Any, Any, R]]:
        """Return the method of an instance, where the function is one of a class."""
        ...

    def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Return the key of a call; with ``per_user`` that of the user of the work at hand.

        :raises CacheKeyError: when an argument cannot be part of one, or there is no user.
        """
        ...

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, None]:
        """Drop the value of a call."""
        ...

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """Compute the value of a call anew, whatever is cached, and return it."""
        ...


class Decorator(Protocol):
    """What ``cache.cached(…)`` returns."""

    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> Cached[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Cached[P, R]: ...


def decorate(
    cache: Cache,
    fn: Callable[..., Any],
    *,
    key: Key,
    tags: Tags,
    per_user: bool,
    share: bool | None,
    options: dict[str, Any],
) -> Any:
    """Return the function with a cache before it.

    :raises DeclarationError: when its key, tags or return type cannot be used.
    """
    if inspect.isasyncgenfunction(fn) or inspect.isgeneratorfunction(fn):
        raise DeclarationError(f"{fn.__qualname__} is a generator; there is no value to cache.", "Return a list.")
    template = key if isinstance(key, str) else default_template(fn) if key is None else f"{fn.__qualname__}:*"
    builder = _key_builder(key, template, fn)
    tag_builders = _tag_builder(tags, fn)
    kind, names = _result_of(fn), getattr(fn, "__globals__", None)
    # One codec a type, so that a value near is the same object however it is asked for.
    codec = cache.codec(kind, names) if share is None else codec_of(kind, share=share, names=names)
    plan = cache.plan(codec, **options)
    pattern = template_pattern(template)
    if per_user:
        builder, pattern = _per_user(builder), f"{pattern}:@*"
    asynchronous = inspect.iscoroutinefunction(fn)

    def compute(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[], Awaitable[Any]]:
        if asynchronous:
            return lambda: fn(*args, **kwargs)
        return lambda: asyncio.to_thread(fn, *args, **kwargs)

    parts = cache.parts
    stats = parts.stats.pattern(pattern)
    counts = parts.stats

    @functools.wraps(fn)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            name = builder(args, kwargs)
        except _NobodyError:
            # Who it is for is not known, so nobody else may get it.
            stats.bypass += 1
            return await compute(args, kwargs)()
        near = parts.near
        entry = near.young.get(name)
        if (
            entry is not None
            and entry.codec is codec
            and entry.generation == near.generation
            and near.now() < entry.fresh
        ):
            counts.near_hits += 1
            stats.near += 1
            value = entry.value
            return codec.decode(entry.text) if value is RAW else value
        return await cache.load(name, plan, compute(args, kwargs), tag_builders(args, kwargs), stats)

    def key_of(*args: Any, **kwargs: Any) -> str:
        try:
            return builder(args, kwargs)
        except _NobodyError:
            raise CacheKeyError("There is no user, and each has a value of its own.", "Bind user_id first.") from None

    async def invalidate(*args: Any, **kwargs: Any) -> None:
        await cache.invalidate(keys=(key_of(*args, **kwargs),))

    async def refresh(*args: Any, **kwargs: Any) -> Any:
        name = key_of(*args, **kwargs)
        await cache.invalidate(keys=(name,))
        return await cache.load(name, plan, compute(args, kwargs), tag_builders(args, kwargs), stats)

    result: Any = wrapper
    result.key, result.invalidate, result.refresh = key_of, invalidate, refresh
    return result


class _NobodyError(Exception):
    """There is no user in the work at hand."""


def _per_user(builder: Builder) -> Builder:
    def build(args: tuple[Any, ...], kwargs: Any) -> str:
        work = current.get()
        fields = None if work is None else work.fields
        user = None if fields is None else fields.get("user_id")
        if user is None or user == "":
            raise _NobodyError
        return f"{builder(args, kwargs)}:@{part(user)}"

    return build


def _key_builder(key: Key, template: str, fn: Callable[..., Any]) -> Builder:
    if key is not None and not isinstance(key, str):
        return lambda args, kwargs: stored(key(*args, **kwargs))
    build = compiled(template, fn)
    words = template.replace("{", "").replace("}", "") or "-"
    if stored(words) != words:
        return lambda args, kwargs: stored(build(args, kwargs))
    # Arguments are escaped as parts; nothing but the length is left that `stored` would look after.
    return lambda args, kwargs: name if len(name := build(args, kwargs)) <= LONGEST else stored(name)


def _tag_builder(tags: Tags, fn: Callable[..., Any]) -> Callable[[tuple[Any, ...], Any], tuple[str, ...]]:
    if isinstance(tags, str):
        raise DeclarationError(f"The tags of {fn.__qualname__} are one text.", f"Give a tuple: tags=({tags!r},).")
    if callable(tags):
        return lambda args, kwargs: tuple(stored(tag) for tag in tags(*args, **kwargs))
    builders = [_key_builder(tag, tag if isinstance(tag, str) else "*", fn) for tag in tags]
    if not builders:
        return lambda args, kwargs: ()
    return lambda args, kwargs: tuple([build(args, kwargs) for build in builders])


def _result_of(fn: Callable[..., Any]) -> Any:
    try:
        return typing.get_type_hints(fn, include_extras=True).get("return", Any)
    except NameError as error:
        what = f"The return type of {fn.__qualname__} cannot be read: {error}."
        raise DeclarationError(what, "Import what it names outside of `if TYPE_CHECKING`.") from error
