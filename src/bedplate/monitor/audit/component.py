"""The component that keeps the audit log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from bedplate.component import Environment, Host, Spec
from bedplate.declarations import Alert, Panel, Series
from bedplate.metric import Counter
from bedplate.monitor.audit.chain import Verification
from bedplate.monitor.audit.log import AuditLog
from bedplate.monitor.audit.place import file_of, unwritable
from bedplate.monitor.runbooks import runbook
from bedplate.settings import Section

__all__ = ["Audit", "AuditSettings"]

RECORDS = Counter(
    "bedplate_audit_records_total", "Records for the audit log, by what became of them.", {"outcome": ("kept", "lost")}
)
_RUNBOOK = runbook(__file__)
_ALERTS = (
    Alert(
        name="AuditUnwritable",
        expr=f"increase({RECORDS(outcome='lost')}[15m]) > 0",
        summary="Records of what operators did cannot be written to the audit log.",
        severity="critical",
        for_="0s",
        fires=(Series(str(RECORDS(outcome="lost")), "0 1x30"),),
        quiet=(Series(str(RECORDS(outcome="lost")), "0x30"),),
    ),
)
_PANELS = (
    Panel(title="Audit records", expr=(("{{outcome}}", f"sum by (outcome) (increase({RECORDS}[1h]))"),), row="Audit"),
)


class AuditSettings(Section):
    """Where the record of actions is kept."""

    file: Path | None = None
    """The hash-chained file, one JSON record a line; ``<service>.audit.jsonl`` by default, in systemd's
    ``STATE_DIRECTORY``, else in ``/var/lib/bedplate`` where that can be written, else in ``.bedplate``. In tests,
    without one, the latest records are in memory."""

    max_bytes: Annotated[int, Field(ge=4096)] = 16 * 2**20
    """Bytes beyond which the file is rotated."""

    keep: Annotated[int, Field(ge=1, le=10_000)] = 20
    """Rotated files that are kept."""


class Audit:
    """Keeps who did what, when, with which parameters, and how things were before and after.

    :param environment: where nothing needs to last, in ``test``, the settings have to name a file for there to be one.
    """

    def __init__(
        self, service: str, settings: AuditSettings | None = None, *, environment: Environment = "development"
    ) -> None:
        self.settings = settings or AuditSettings()
        self._lasts = environment != "test"
        self.log = AuditLog(self.settings.file, max_bytes=self.settings.max_bytes, keep=self.settings.keep)
        self._host: Host | None = None
        self._spec = Spec(
            kind="audit",
            summary="Keeps who did what to the service, in a log that tells of every change made to it.",
            settings=self.settings,
            metrics=(RECORDS,),
            alerts=_ALERTS,
            panels=_PANELS,
            runbook=_RUNBOOK,
        )

    @property
    def spec(self) -> Spec:
        """The component's declaration."""
        return self._spec

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Count records while inside."""
        self._host = host
        if self.log.path is None and self._lasts:
            self.log.path = file_of(host.service)
        path = self.log.path
        if path is not None and (reason := await asyncio.to_thread(unwritable, path)):
            host.degraded(f"The audit log could not be written: {reason} Set BEDPLATE_AUDIT__FILE.")
        for outcome in RECORDS.labels[0].values or ():
            host.bind(RECORDS, outcome=outcome)
        yield
        self._host = None

    async def keep(self, record: Mapping[str, Any]) -> str:
        """Add a record; return its hash once it will last, or nothing when it cannot, which is counted and told."""
        try:
            head = await asyncio.to_thread(self.log.append, record)
        except (OSError, ValueError, KeyError) as error:
            if self._host is not None:
                self._host.bind(RECORDS, outcome="lost").inc()
                self._host.degraded(f"The audit log cannot be written: {error}")
                self._host.log.error("audit_unwritable", error=f"{type(error).__name__}: {error}")
            return ""
        if self._host is not None:
            self._host.bind(RECORDS, outcome="kept").inc()
            self._host.degraded(None)
        return head

    async def latest(self, limit: int = 100) -> Sequence[Mapping[str, Any]]:
        """Return the latest records, the newest first."""
        return await asyncio.to_thread(self.log.latest, limit)

    async def verify(self) -> Verification:
        """Check the whole chain."""
        return await asyncio.to_thread(self.log.verify)
