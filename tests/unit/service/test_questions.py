from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from bedplate.component import Sample, Vector
from bedplate.problems import BedplateError
from bedplate.service import Service
from bedplate.service.questions import Asking, answering
from bedplate.service.sockets import listen_unix
from bedplate.testing import running, settings


class Answers:
    """Queries that always give the same answer."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, float | None]] = []
        self.fault: BedplateError | None = None

    async def vector(self, expr: str, at: float | None = None) -> Vector:
        self.asked.append((expr, at))
        if self.fault is not None:
            raise self.fault
        return (Sample({"page": 'a"\n'}, 0.1), Sample({}, math.inf), Sample({"x": "y"}, math.nan))


@asynccontextmanager
async def ops(path: Path, **queries: Any) -> AsyncIterator[None]:
    """An ops process' unix socket."""

    async def nothing(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError(f"{scope['path']} is no question")

    config = uvicorn.Config(answering(nothing, queries), log_config=None, lifespan="off", access_log=False)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve([listen_unix(path)]))
    try:
        while not server.started:
            await asyncio.sleep(0.001)
        yield
    finally:
        server.should_exit = True
        await serving


async def test_a_question_gets_its_answer_with_all_kinds_of_values(tmp_path: Path) -> None:
    answers = Answers()
    async with ops(tmp_path / "ops.sock", shop=answers):
        found = await Asking(tmp_path / "ops.sock", "shop").vector('up{job="shop"}', 12.5)
    assert [sample.labels for sample in found] == [{"page": 'a"\n'}, {}, {"x": "y"}]
    assert [repr(sample.value) for sample in found] == ["0.1", "inf", "nan"]
    assert answers.asked == [('up{job="shop"}', 12.5)]


async def test_what_is_wrong_with_a_question_is_said_in_the_same_words(tmp_path: Path) -> None:
    answers = Answers()
    answers.fault = BedplateError("The expression ends too early.", "Finish it.")
    async with ops(tmp_path / "ops.sock", shop=answers):
        with pytest.raises(BedplateError) as told:
            await Asking(tmp_path / "ops.sock", "shop").vector("sum(", None)
        assert (told.value.what, told.value.mend) == ("The expression ends too early.", "Finish it.")
        with pytest.raises(BedplateError, match="no service 'other'"):
            await Asking(tmp_path / "ops.sock", "other").vector("up", None)


async def test_an_ops_process_that_is_away_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(BedplateError, match=r"does not answer\. It is restarted"):
        await Asking(tmp_path / "ops.sock", "shop").vector("up", None)


async def test_a_worker_of_several_asks_the_process_that_samples(tmp_path: Path) -> None:
    observer = Service("shop", settings=settings())
    async with running(observer) as harness:
        await harness.clock.advance(5)
        async with ops(tmp_path / "ops.sock", shop=observer.builtins.queries):
            worker = Service("shop", settings=settings())
            worker.builtins.queries.remote = Asking(tmp_path / "ops.sock", "shop")
            async with worker.running(role="web", instance="1", directory=tmp_path / "run"):
                [up] = await worker.builtins.queries.query("up")
                assert up.labels["instance"] == observer.builtins.samples.instance
                with pytest.raises(BedplateError, match="ends too early"):
                    await worker.builtins.queries.query("sum(")
                with pytest.raises(BedplateError, match="takes no samples"):
                    await worker.builtins.queries.range("up", 0, 60, 15)
