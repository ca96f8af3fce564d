"""Logs in a running service: files, tail, levels, degradation, metrics, actions."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bedplate.declarations import Actor
from bedplate.service import Service
from bedplate.telemetry.context import WorkContext, current
from bedplate.telemetry.logs import Logs, LogSettings, get_logger
from bedplate.telemetry.logs.component import ResetLevel, SetLevel
from bedplate.telemetry.logs.metrics import DROPPED, RECORDS, REDACTIONS, WRITTEN
from bedplate.testing import Harness, running, settings

OPERATOR = Actor("ada", "operator")


@asynccontextmanager
async def service(**values: Any) -> AsyncIterator[tuple[Harness, Logs]]:
    """Run a service with these settings of its logs."""
    made = Service("ledger", None, [], settings=settings(logs={"stream": "off", **values}))
    async with running(made) as harness:
        yield harness, made.builtins.logs


def written(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


async def test_records_arrive_in_files_and_tail_without_secrets(tmp_path: Path) -> None:
    async with service(directory=str(tmp_path)) as (_, logs):
        token = current.set(WorkContext("req-1", "a" * 32, "b" * 16))
        logging.getLogger("app").info("stdlib with password=%s", "hunter2")
        get_logger("app").error("event", card="4111111111111111")
        current.reset(token)
        found = logs.tail.search(request_id="req-1")
        assert [record["message"] for record in found] == ["event", "stdlib with password=[redacted]"]
    app = [record for record in written(tmp_path / "app.log") if record["logger"] == "app"]
    assert [record["service"] for record in app] == ["ledger", "ledger"]
    assert [record["message"] for record in written(tmp_path / "errors.log")] == ["event"]
    assert "41111111" not in (tmp_path / "app.log").read_text()


async def test_access_records_share_the_outputs(tmp_path: Path) -> None:
    async with service(file=str(tmp_path / "ledger.log")) as (_, logs):
        logs.write(b'{"timestamp":"2026-11-22T10:53:50.123456Z","level":"ERROR","message":"GET / 500"}\n')
    assert written(tmp_path / "errors.log")[-1]["message"] == "GET / 500"
    assert "GET / 500" in (tmp_path / "ledger.log").read_text()


@pytest.mark.parametrize(
    ("environment", "tty", "format", "json_lines"),
    [
        ("development", True, "auto", False),
        ("development", False, "auto", True),
        ("production", True, "auto", True),
        ("production", False, "console", False),
        ("development", True, "json", True),
    ],
)
def test_the_stream_is_for_people_in_development_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, environment: Any, tty: bool, format: Any, json_lines: bool
) -> None:
    stream = io.StringIO()
    stream.isatty = lambda: tty  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", stream)
    logs = Logs(LogSettings(format=format))
    (output,) = logs._outputs(environment)
    output.write([b'{"message":"hello","level":"INFO"}\n'])
    assert stream.getvalue().startswith("{") is json_lines


async def test_levels_are_those_of_the_settings_and_come_back(tmp_path: Path) -> None:
    before = logging.getLogger().level
    async with service(level="WARNING", levels={"app.loud": "DEBUG"}) as (_, logs):
        assert logging.getLogger().level == logging.WARNING
        assert logging.getLogger("app.loud").level == logging.DEBUG
        logs.apply(LogSettings(level="ERROR"))
        assert logging.getLogger().level == logging.ERROR
        assert logging.getLogger("app.loud").level == logging.NOTSET
    assert logging.getLogger().level == before


async def test_a_level_is_changed_for_a_while() -> None:
    async with service() as (harness, logs):
        app = logging.getLogger("app.debugged")
        actions = {action.name: action for action in logs.actions()}
        result = await actions["set-level"].run(
            SetLevel(logger="app.debugged", level="DEBUG", for_seconds=60), OPERATOR
        )
        assert app.isEnabledFor(logging.DEBUG)
        assert result["changes"][0]["logger"] == "app.debugged"
        await harness.clock.advance(58)
        assert app.isEnabledFor(logging.DEBUG)
        await harness.clock.advance(3)
        assert not app.isEnabledFor(logging.DEBUG)
        logs.set_level("root", "ERROR")
        assert not app.isEnabledFor(logging.INFO)
        assert (await actions["reset-level"].run(ResetLevel(), OPERATOR))["changes"] == []
        assert app.isEnabledFor(logging.INFO)


async def test_an_output_that_fails_degrades_and_recovers(tmp_path: Path) -> None:
    blocker = tmp_path / "logs"
    blocker.write_text("a file where a directory should be")
    async with service(directory=str(blocker)) as (harness, logs):
        get_logger("app").error("lost")
        await harness.clock.advance(1.5)
        view = next(view for view in harness.service.views if view.component is logs)
        assert (view.state, view.reason) == ("degraded", "app.log: Not a directory; errors.log: Not a directory")
        assert await harness.value(DROPPED, reason="output") > 0
        assert logs.tail.search(text="lost")
        blocker.unlink()
        get_logger("app").error("found")
        await harness.clock.advance(1.5)
        view = next(view for view in harness.service.views if view.component is logs)
        assert (view.state, view.reason) == ("running", "")
    assert written(blocker / "errors.log")[-1]["message"] == "found"


async def test_what_happens_is_counted(tmp_path: Path) -> None:
    async with service(directory=str(tmp_path)) as (harness, logs):
        before = await harness.value(RECORDS, level="WARNING")
        for _ in range(3):
            get_logger("app").warning("event", token="t0ken-value")
        logs.writer.flush()
        await harness.clock.advance(1.5)
        assert await harness.value(RECORDS, level="WARNING") == before + 3
        assert await harness.value(REDACTIONS, kind="key") >= 3
        assert await harness.value(WRITTEN, output="app") == (tmp_path / "app.log").stat().st_size


async def test_two_services_in_one_process_log_apart(tmp_path: Path) -> None:
    async with service(directory=str(tmp_path / "one")) as (_, one):
        two = Service("other", None, [], settings=settings(logs={"stream": "off", "directory": str(tmp_path / "two")}))
        async with running(two):

            async def work(logs: Logs, message: str) -> None:
                logs.mark()
                logging.getLogger("shared").warning(message)

            await asyncio.create_task(work(one, "of one"))
            await asyncio.create_task(work(two.builtins.logs, "of two"))
    shared = [record for record in written(tmp_path / "two" / "app.log") if record["logger"] == "shared"]
    assert [(record["service"], record["message"]) for record in shared] == [("other", "of two")]
    shared = [record for record in written(tmp_path / "one" / "app.log") if record["logger"] == "shared"]
    assert [(record["service"], record["message"]) for record in shared] == [("ledger", "of one")]


async def test_secrets_of_the_settings_never_show(tmp_path: Path) -> None:
    told = settings(redis_url="redis://:correct-horse@cache/0", logs={"stream": "off", "directory": str(tmp_path)})
    async with running(Service("ledger", None, settings=told)):
        get_logger("app").warning("connecting with correct-horse", detail=["correct-horse"])
    assert "connecting with [redacted]" in (tmp_path / "app.log").read_text()
    assert "correct-horse" not in (tmp_path / "app.log").read_text()


def test_the_runbook_covers_every_alert() -> None:
    spec = Logs().spec
    assert spec.runbook is not None
    assert {alert.name for alert in spec.alerts} == spec.runbook.sections().keys()
    assert spec == Logs().spec
