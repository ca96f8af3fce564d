"""Logs as a component: the pipeline from a record to its outputs, its levels, its tail and its actions."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from time import time
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from bedplate.component import BoundCounter, Environment, Host, Spec
from bedplate.declarations import Action, Actor, Runbook
from bedplate.metric import Counter
from bedplate.telemetry.logs.bridge import attached, bridge
from bedplate.telemetry.logs.console import ConsoleRenderer, wants_colour
from bedplate.telemetry.logs.levels import LEVELS, ROOT, LevelChange, LevelTable, level_number
from bedplate.telemetry.logs.metrics import (
    ALERTS,
    DROPPED,
    FAILURES,
    METRICS,
    PANELS,
    RECORDS,
    REDACTIONS,
    WRITTEN,
)
from bedplate.telemetry.logs.outputs import FileOutput, Output, StreamOutput
from bedplate.telemetry.logs.records import LineEncoder
from bedplate.telemetry.logs.settings import Level, LogSettings
from bedplate.telemetry.logs.tail import LogTail
from bedplate.telemetry.logs.writer import Batch, Writer
from bedplate.telemetry.redaction import Redactor

__all__ = ["Logs"]

_RUNBOOK = Runbook(text=Path(__file__).with_name("runbook.md").read_text(encoding="utf-8"))
_NAMES = {number: name for name, number in LEVELS.items()}
#: Seconds between two looks at expired levels, outputs and counts.
_TICK = 1.0


class SetLevel(BaseModel):
    """Which logger says how much, and for how long."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: Level
    logger: Annotated[str, Field(max_length=200, pattern=r"^[A-Za-z0-9_.:/-]+$")] = ROOT
    """The logger's name, or ``root`` for all that have no level of their own."""

    for_seconds: Annotated[float, Field(gt=0, le=7 * 86_400)] | None = 900.0
    """After how many seconds the level from before comes back; null for when the service restarts."""


class ResetLevel(BaseModel):
    """Which logger gets its level of the settings back."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    logger: Annotated[str, Field(max_length=200)] = ROOT


class Logs:
    """Turns everything that logs in the process into redacted JSON lines and keeps the latest ones at hand.

    What logs before the start is kept and written at the start: by :func:`get_logger`, where the level allows it, as
    plain text by :mod:`logging`'s own rules; through :meth:`write`, as it is.

    :param settings: see :class:`~bedplate.telemetry.logs.LogSettings`.
    :param redactor: shared with whatever else shows data to people; one with default rules if None.
    :ivar tail: the latest records. :ivar writer: where all lines leave.
    """

    def __init__(self, settings: LogSettings | None = None, *, redactor: Redactor | None = None) -> None:
        self.settings = settings = settings or LogSettings()
        self.redactor = redactor or Redactor()
        self.redactor.limit = settings.message_limit
        for key in settings.secret_keys:
            self.redactor.add_key(key)
        self.writer = Writer(
            interval=settings.flush_interval,
            flush_bytes=settings.flush_bytes,
            backlog_bytes=settings.backlog_bytes,
        )
        self.write = self.writer.write
        self.tail = LogTail(settings.tail_records, settings.tail_bytes)
        self.tail.catch_up = partial(self.writer.flush, patient=False)
        self.levels = LevelTable()
        self._encoder = LineEncoder("", self.redactor)
        self._host: Host | None = None
        self._counted: dict[int, int] = {}
        self._published: dict[tuple[Counter, str], int] = {}
        self._cells: dict[tuple[Counter, str], BoundCounter] = {}
        self.writer.listeners = (self.tail.add, self._count)

    @property
    def spec(self) -> Spec:
        """What it is."""
        return Spec(
            kind="logs",
            summary="Writes structured logs without secrets, and keeps the latest records at hand.",
            settings=self.settings,
            metrics=METRICS,
            alerts=ALERTS,
            panels=PANELS,
            runbook=_RUNBOOK,
        )

    def actions(self) -> Sequence[Action]:
        """Change levels while the service runs."""
        return (
            Action(
                name="set-level",
                summary="Let a logger say more or less, for a while.",
                parameters=SetLevel,
                run=self._set_level,
            ),
            Action(
                name="reset-level",
                summary="Give a logger the level of the settings back.",
                parameters=ResetLevel,
                run=self._reset_level,
            ),
        )

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Open the outputs and take over all logging; give it back at the end, with every record written."""
        self._host = host
        self._encoder = LineEncoder(host.service, self.redactor)
        self._cells.clear()
        self.levels = LevelTable(host.directory / "log-levels.json")
        try:
            self.writer.start(self._outputs(host.environment))
            self.mark()
            bridge.attach(self)
            self.apply(self.settings)
            self._tick()
            host.spawn("watch", self._watch)
            yield
        finally:
            self.levels.uninstall()
            bridge.detach(self)
            self.writer.close()
            self._publish(host)
            self._host = None

    def mark(self) -> None:
        """Mark the present context as this service's, where a process runs several of them.

        Records of :mod:`logging` do not say whose they are; without a mark they belong to the service that started
        first. Whoever takes requests for one of several services calls this once a request.
        """
        attached.mark(self)

    def take(self, record: logging.LogRecord) -> None:
        """Encode a record and write it; never raises."""
        line = self._encoder.encode(record)
        if line is not None:
            self.writer.write(line, record.levelno)

    def apply(self, settings: LogSettings) -> None:
        """Put the levels of (reloaded) settings in force; what was changed at run time stays."""
        numbers = {name: level_number(level) for name, level in settings.levels.items()}
        self.levels.install(level_number(settings.level), numbers)

    def set_level(self, logger: str, level: str | int, for_seconds: float | None = None) -> None:
        """Change a logger's level in all processes of this host.

        :param logger: its name, ``root`` for all that have no level of their own.
        :param for_seconds: after how many seconds the level from before comes back; None for never.
        :raises BedplateError: when the level is none.
        """
        until = None if for_seconds is None else self._now() + for_seconds
        self.levels.change(LevelChange(logger or ROOT, level_number(level), until))

    def reset_level(self, logger: str = ROOT) -> bool:
        """Give a logger its level of the settings back; return whether it had another one."""
        return self.levels.reset(logger)

    def _now(self) -> float:
        return time() if self._host is None else self._host.clock.time()

    async def _set_level(self, request: SetLevel, actor: Actor) -> dict[str, Any]:
        self.set_level(request.logger, request.level, request.for_seconds)
        if self._host is not None:
            self._host.log.info("log_level_set", by=actor.name, **request.model_dump())
        return self._described()

    async def _reset_level(self, request: ResetLevel, actor: Actor) -> dict[str, Any]:
        self.reset_level(request.logger)
        if self._host is not None:
            self._host.log.info("log_level_reset", by=actor.name, logger=request.logger)
        return self._described()

    def _described(self) -> dict[str, Any]:
        changes = [
            {"logger": change.logger, "level": _NAMES.get(change.level, str(change.level)), "until": change.until}
            for change in self.levels.changes
        ]
        return {"level": self.settings.level, "changes": changes}

    def _outputs(self, environment: Environment) -> list[Output]:
        settings = self.settings
        outputs: list[Output] = []
        if settings.stream != "off":
            render = ConsoleRenderer(colour=wants_colour(os.environ)) if self._is_for_people(environment) else None
            outputs.append(StreamOutput(settings.stream, render, backlog_bytes=settings.backlog_bytes))
        size, backups = settings.max_bytes, settings.backups
        if settings.app_file is not None:
            outputs.append(FileOutput(settings.app_file, max_bytes=size, backups=backups))
        if settings.errors_file is not None:
            outputs.append(FileOutput(settings.errors_file, max_bytes=size, backups=backups, errors_only=True))
        return outputs

    def _is_for_people(self, environment: Environment) -> bool:
        if self.settings.format != "auto":
            return self.settings.format == "console"
        stream = getattr(sys, self.settings.stream, None)
        return environment == "development" and stream is not None and not stream.closed and stream.isatty()

    async def _watch(self) -> None:
        host = self._host
        while host is not None:
            await host.clock.sleep(_TICK)
            self._tick()

    def _tick(self) -> None:
        host = self._host
        if host is None:
            return
        self.levels.refresh(host.clock.time())
        host.degraded("; ".join(output.fault for output in self.writer.outputs if output.fault) or None)
        self._publish(host)

    def _count(self, batch: Batch) -> None:
        """Count records; in whichever thread writes, one at a time."""
        levels = [level for level, _ in batch]
        for level in set(levels):
            self._counted[level] = self._counted.get(level, 0) + levels.count(level)

    def _publish(self, host: Host) -> None:
        """Bring the counts that other threads kept into cells; a scrape is at most a second behind."""
        totals: dict[tuple[Counter, str], int] = {}
        for level, count in list(self._counted.items()):
            name = _NAMES[max(10, min(50, level // 10 * 10))]
            totals[RECORDS, name] = totals.get((RECORDS, name), 0) + count
        for output in self.writer.outputs:
            name = "stream" if isinstance(output, StreamOutput) else "errors" if output.errors_only else "app"
            totals[WRITTEN, name] = output.written
        totals[DROPPED, "output"] = sum(output.lost for output in self.writer.outputs)
        totals[DROPPED, "backlog"] = self.writer.dropped
        totals[DROPPED, "recursion"] = self._encoder.recursions
        totals[DROPPED, "tail"] = self.tail.missed
        totals[FAILURES, ""] = self._encoder.failures
        for kind, count in self.redactor.counts.items():
            totals[REDACTIONS, kind] = count
        for (metric, value), total in totals.items():
            self._bring(host, metric, value, total)

    def _bring(self, host: Host, metric: Counter, value: str, total: int) -> None:
        key = (metric, value)
        cell = self._cells.get(key)
        if cell is None:
            labels = {metric.label_names[0]: value} if value else {}
            cell = self._cells[key] = host.bind(metric, **labels)
        before = self._published.get(key, 0)
        cell.inc(total - before if total >= before else total)  # outputs begin at zero with each start
        self._published[key] = total
