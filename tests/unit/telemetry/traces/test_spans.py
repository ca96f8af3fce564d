from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from bedplate.telemetry.context import WorkContext, current
from bedplate.telemetry.traces import current_span, span, traced
from bedplate.telemetry.traces.notes import Entry, Notes, active


def noted(work: WorkContext) -> dict[str, Entry]:
    return {entry.name: entry for entry in (Entry(*note) for note in work.notes or ())}


def parents(work: WorkContext) -> dict[str, str]:
    """Return the name of each span's parent; the request's own span is the root."""
    entries = noted(work)
    names = {entry.span_id: name for name, entry in entries.items()} | {0: "root"}
    return {name: names[entry.parent] for name, entry in entries.items()}


def test_a_call_is_noted_with_its_name_times_and_attributes(work: WorkContext) -> None:
    @traced("sum", currency="EUR")
    def add(a: int, b: int = 2) -> int:
        return a + b

    assert add(1) == 3
    entry = noted(work)["sum"]
    assert entry.started <= entry.ended
    assert (entry.parent, entry.error, entry.attributes) == (0, None, {"currency": "EUR"})


def test_the_decorator_alone_takes_the_qualified_name_and_keeps_the_function_what_it_was(work: WorkContext) -> None:
    @traced
    def total(values: list[int]) -> int:
        """Add up."""
        return sum(values)

    assert total([1, 2]) == 3
    assert total.__doc__ == "Add up."
    assert list(inspect.signature(total).parameters) == ["values"]
    assert list(noted(work)) == [total.__qualname__.replace("<locals>.", "")]


async def test_children_know_their_parents(work: WorkContext) -> None:
    @traced("inner")
    def inner() -> None: ...

    @traced("outer")
    async def outer() -> None:
        inner()
        async with span("block", n=1):
            await asyncio.sleep(0)

    await outer()
    inner()
    with span("after"):
        pass
    assert parents(work) == {"inner": "root", "block": "outer", "outer": "root", "after": "root"}
    assert [note[0] for note in work.notes or ()] == ["inner", "block", "outer", "inner", "after"]


async def test_concurrent_spans_are_siblings(work: WorkContext) -> None:
    @traced("leaf")
    async def leaf(_: int) -> None:
        await asyncio.sleep(0.001)

    async def task(n: int) -> None:
        with span(f"task{n}"):
            await leaf(n)

    with span("all"):
        await asyncio.gather(task(1), task(2))
        async with asyncio.TaskGroup() as group:
            group.create_task(task(3))
        await asyncio.to_thread(thread)
    ids = {entry.span_id: entry.name for entry in (Entry(*note) for note in work.notes or ())}
    found = {(entry.name, ids[entry.parent]) for entry in (Entry(*n) for n in work.notes or ()) if entry.parent}
    assert found == {
        *((f"task{n}", "all") for n in (1, 2, 3)),
        *(("leaf", f"task{n}") for n in (1, 2, 3)),
        ("thread", "all"),
    }


@traced("thread")
def thread() -> None:
    assert threading.current_thread() is not threading.main_thread()


@pytest.mark.parametrize("failure", [ValueError("no"), asyncio.CancelledError(), KeyboardInterrupt()])
async def test_what_is_raised_is_noted_and_goes_on(work: WorkContext, failure: BaseException) -> None:
    @traced("sync")
    def sync() -> None:
        raise failure

    @traced("async")
    async def coroutine() -> None:
        with span("block"):
            sync()

    with pytest.raises(type(failure)) as caught:
        await coroutine()
    assert caught.value is failure
    assert {entry.error for entry in noted(work).values()} == {type(failure).__name__}
    assert active.get() is None


def test_methods_of_every_kind(work: WorkContext) -> None:
    class Book:
        @traced("plain")
        def plain(self) -> Book:
            return self

        @traced("static")
        @staticmethod
        def static(n: int) -> int:
            return n

        @traced("class")
        @classmethod
        def make(cls) -> type[Book]:
            return cls

    book = Book()
    assert book.plain() is book
    assert (Book.static(3), book.static(4)) == (3, 4)
    assert Book.make() is Book
    assert set(noted(work)) == {"plain", "static", "class"}


def test_a_generator_is_one_span_whose_slices_are_its_own(work: WorkContext) -> None:
    @traced("rows")
    def rows(n: int) -> Iterator[int]:
        for i in range(n):
            with span("fetch"):
                pass
            yield i

    for _ in rows(2):
        with span("consume"):
            pass
    assert parents(work) == {"fetch": "rows", "consume": "root", "rows": "root"}


def test_a_generator_keeps_its_protocol(work: WorkContext) -> None:
    @traced("talk")
    def talk() -> Any:
        got = []
        try:
            while len(got) < 2:
                try:
                    got.append((yield len(got)))
                except KeyError as error:
                    got.append(error.args[0])
        finally:
            got.append("closed")
        return got

    def collect() -> Any:
        return (yield from talk())

    generator = collect()
    assert next(generator) == 0
    assert generator.send("a") == 1
    with pytest.raises(StopIteration) as stop:
        generator.throw(KeyError("b"))
    assert stop.value.value == ["a", "b", "closed"]
    unfinished = collect()
    next(unfinished)
    unfinished.close()
    assert [Entry(*note).error for note in work.notes or ()] == [None, None]


async def test_an_async_generator_keeps_its_protocol(work: WorkContext) -> None:
    closed = []

    @traced("stream")
    async def stream() -> AsyncIterator[Any]:
        try:
            with span("open"):
                await asyncio.sleep(0)
            got = yield 1
            yield got
            raise LookupError("end")
        finally:
            closed.append(True)

    items: Any = stream()
    assert await anext(items) == 1
    with span("consume"):
        assert await items.asend("x") == "x"
    with pytest.raises(LookupError):
        await anext(items)
    items = stream()
    await anext(items)
    await items.aclose()
    assert len(closed) == 2
    assert parents(work) == {"open": "stream", "consume": "root", "stream": "root"}
    assert [e.error for e in (Entry(*n) for n in work.notes or ()) if e.name == "stream"] == ["LookupError", None]


async def test_context_managers_made_of_traced_generators(work: WorkContext) -> None:
    @asynccontextmanager
    @traced("session")
    async def session() -> AsyncIterator[str]:
        yield "s"

    @contextmanager
    @traced("lock")
    def lock() -> Iterator[None]:
        yield

    with pytest.raises(ZeroDivisionError):
        async with session():
            with lock():
                raise ZeroDivisionError
    assert {name: entry.error for name, entry in noted(work).items()} == {
        "session": "ZeroDivisionError",
        "lock": "ZeroDivisionError",
    }


def test_without_work_and_recorder_nothing_happens() -> None:
    @traced
    def plain() -> int:
        return 1

    with span("nothing") as s:
        s.set(a=1)
        assert not s.recording
    assert plain() == 1
    assert current.get() is None and current_span() is None


def test_attributes_can_be_added_inside(work: WorkContext) -> None:
    with span("price", symbol="X") as s:
        s.set(rows=3, symbol="Y")
        assert s.recording
    assert noted(work)["price"].attributes == {"symbol": "Y", "rows": 3}


def test_the_current_span_is_the_innermost_one(work: WorkContext) -> None:
    assert current_span() == (work.trace_id, work.span_id)
    with span("a"):
        inner = current_span()
    assert inner == (work.trace_id, f"{noted(work)['a'].span_id:016x}")


def test_notes_are_bounded_and_no_child_loses_its_parent(work: WorkContext) -> None:
    work.notes = notes = Notes(limit=10)
    with span("outer"):
        with span("middle"):
            for _ in range(30):
                with span("leaf"):
                    pass
        with span("late"):
            with span("later"):
                pass
    names = [note[0] for note in notes]
    assert names == ["leaf"] * 10 + ["middle", "outer"]
    assert notes.dropped == 22
    ids = {note[1] for note in notes} | {0}
    assert all(note[2] in ids for note in notes)


def test_work_inside_work_has_spans_of_its_own(work: WorkContext) -> None:
    inner = WorkContext("req-2", "1" * 32, "2" * 16)
    with span("call"):
        token = current.set(inner)
        with span("serve"):
            pass
        current.reset(token)
    assert parents(inner) == {"serve": "root"}
    assert list(noted(work)) == ["call"]


def test_a_span_may_end_in_another_context_than_it_began_in(work: WorkContext) -> None:
    import contextvars

    s = span("dependency")
    contextvars.copy_context().run(s.__enter__)
    contextvars.copy_context().run(s.__exit__, None, None, None)
    assert list(noted(work)) == ["dependency"]


async def test_wrappers_are_seen_for_what_they_are() -> None:
    async def coroutine() -> None: ...
    async def async_generator() -> AsyncIterator[int]:
        yield 1

    def generator() -> Iterator[int]:
        yield 1

    assert inspect.iscoroutinefunction(traced(coroutine))
    assert inspect.isasyncgenfunction(traced(async_generator))
    assert inspect.isgeneratorfunction(traced(generator))
