"""Keeping alerts: what this process knows and what the database says, brought together again and again.

The engine never waits for the database. What changes goes into an outbox; an exchange writes it, in one transaction,
and reads what others wrote. While the database is away everything stays here, deliveries and silences included, and is
written once it is back.
"""

from __future__ import annotations

import asyncio
import importlib
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from uuid_utils import uuid7

from bedplate.component import Host
from bedplate.database import Database, RowLease
from bedplate.monitor.alerts.board import active_of, columns_of, view_of_row
from bedplate.monitor.alerts.deeds import Deeds
from bedplate.monitor.alerts.engine import told
from bedplate.monitor.alerts.metrics import OVERDUE, WAITING
from bedplate.monitor.alerts.notices import AlertView, Transition
from bedplate.monitor.alerts.settings import AlertSettings
from bedplate.monitor.alerts.state import RESOLVED_RETENTION, Active, digest
from bedplate.monitor.alerts.store import (
    Outbox,
    Row,
    Shared,
    Write,
    read_history,
    read_shared,
    tidy,
    write,
)
from bedplate.problems import BedplateError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ["Keeping"]

#: Seconds between two signs of life in the database, and between two cleanings.
_SIGN = 15.0
_TIDY = 3600.0
#: Intervals of :attr:`AlertSettings.sync_interval` after which a change is late.
_PATIENCE = 2

_ENGINES, _CURRENT, _HISTORY = "bedplate_alert_engines", "bedplate_alerts", "bedplate_alert_history"
#: What only who evaluates may write.
_ALERTS = (_CURRENT, _HISTORY, _ENGINES)


class Keeping:
    """What is remembered of the alerts of one service, in one process.

    :param owner: whose alerts this process evaluates: its instance, or the fleet.
    :param sections: the runbook's sections by the name and source of an alert.
    :param lease: when given, only who holds it writes alerts.
    :param degraded: is told why alerts are not saved, None when they are; by default the host is.
    :ivar restored: whether the alerts of a process before this one have been taken up; no alert is written before.
    """

    def __init__(
        self,
        database: Database,
        settings: AlertSettings,
        host: Host,
        owner: str,
        sections: Mapping[tuple[str, str], str],
        *,
        lease: RowLease | None = None,
        degraded: Callable[[str | None], None] | None = None,
    ) -> None:
        self.owner = owner
        self.restored = False
        self.evaluates = lease is None
        self._database = database
        self._settings = settings
        self._host = host
        self._sections = sections
        self._lease = lease
        self._degraded = degraded or host.degraded
        self._outbox = Outbox()
        self._shared = Shared()
        self._read = False
        #: What people did, and what they were told.
        self.deeds = Deeds(host.service, self._put)
        #: Our rows as they are or will be, by group and key.
        self._rows: dict[str, dict[str, dict[str, Any]]] = {}
        self._lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self._signed = self._tidied = float("-inf")
        self._fault = ""

    # What is known

    def others(self) -> list[AlertView]:
        """Return the alerts that other processes evaluate."""
        since = self._host.clock.time() - RESOLVED_RETENTION
        return [
            view_of_row(row, self._sections)
            for row in self._shared.alerts
            if not self._is_ours(row) and (row["resolved_at"] is None or row["resolved_at"] >= since)
        ]

    @property
    def episodes(self) -> dict[str, float]:
        """By an alert's key, when the firing that it belongs to began, on whichever instance."""
        rows: list[Row] = [row for row in self._shared.alerts if not self._is_ours(row)]
        rows += [{"key": key, **row} for group in self._rows.values() for key, row in group.items()]
        return {row["key"]: row["episode"] for row in rows if row["episode"] is not None}

    def _is_ours(self, row: Row) -> bool:
        return self.evaluates and bool(row["owner"] == self.owner)

    async def history(
        self, limit: int, *, since: float, until: float | None, name: str, fingerprint: str
    ) -> list[Transition] | None:
        """Return transitions from the database, the latest first; None when it is away."""
        if not await self.exchange():
            return None
        service = self._host.service
        try:
            async with self._database.connect() as connection:
                rows = await read_history(
                    connection, service, limit=limit, since=since, until=until, name=name, fingerprint=fingerprint
                )
        except BedplateError:
            return None
        return [Transition(alert=view_of_row(row, self._sections), before=row["before"], at=row["at"]) for row in rows]

    # What is to be remembered

    def take(self, group: str, views: Sequence[AlertView], transitions: Sequence[Transition]) -> None:
        """Remember the alerts of a group as they are after an evaluation, and how they came to be so."""
        for transition in transitions:
            self._put(
                _HISTORY,
                {"id": uuid7().hex},
                {
                    "service": self._host.service,
                    "at": transition.at,
                    "owner": self.owner,
                    "key": transition.alert.key,
                    "before": transition.before,
                    **columns_of(transition.alert),
                },
            )
        before = self._rows.setdefault(group, {})
        after: dict[str, dict[str, Any]] = {}
        for view in views:
            after[view.key] = row = {
                **columns_of(view),
                "kept_since": view.keeps_firing_since,
                "episode": self._episode(view, before.get(view.key)),
            }
            if row != before.get(view.key):
                # A new value alone is written when its time comes, and is nothing that waits: while alerts fire there
                # are such at every evaluation, and a healthy database would seem to be late for all that time.
                self._put(_CURRENT, self._key(view.key), row, urgent=bool(transitions))
        for key in before.keys() - after.keys():
            self._put(_CURRENT, self._key(key), None)
        self._rows[group] = after
        if transitions:
            self._end_acknowledgements()
            self._wake.set()

    def known(self, view: AlertView, row: Row) -> None:
        """Know an alert that has been taken up from the database."""
        kept = {"kept_since": view.keeps_firing_since, "episode": row["episode"]}
        self._rows.setdefault(view.group, {})[view.key] = {**columns_of(view), **kept}

    def forget(self) -> None:
        """Forget our alerts: somebody else may have evaluated them meanwhile."""
        self.restored = False
        self._rows = {}
        self._outbox.drop(_CURRENT, _HISTORY)

    def _put(self, table: str, key: dict[str, Any], values: dict[str, Any] | None, *, urgent: bool = True) -> None:
        self.deeds.apply(self._outbox.put(table, key, values, self._host.clock.monotonic()))
        if urgent:
            self._host.bind(WAITING).set(float(len(self._outbox)))

    def _key(self, key: str) -> dict[str, Any]:
        return {"service": self._host.service, "owner": self.owner, "key": key}

    def _episode(self, view: AlertView, before: Mapping[str, Any] | None) -> float | None:
        """Return when the firing that an alert belongs to began, on whichever instance."""
        if view.fired_at is None:
            return None
        same = before is not None and before["fired_at"] == view.fired_at and before["episode"] is not None
        own = before["episode"] if same and before is not None else view.fired_at
        if view.state != "firing":
            return float(own)
        return float(min([own, *self._firing_elsewhere(view.fingerprint, view.key)]))

    def _firing_elsewhere(self, fingerprint: str, key: str) -> list[float]:
        rows: list[Row] = [row for row in self._shared.alerts if not self._is_ours(row)]
        rows += [{"key": own, **row} for group in self._rows.values() for own, row in group.items()]
        return [
            row["episode"]
            for row in rows
            if row["fingerprint"] == fingerprint and row["state"] == "firing" and row["key"] != key and row["episode"]
        ]

    def _end_acknowledgements(self) -> None:
        """Drop the acknowledgements of alerts that no instance has any more."""
        rows: list[Row] = [row for row in self._shared.alerts if not self._is_ours(row)]
        rows += [row for group in self._rows.values() for row in group.values()]
        active = {row["fingerprint"] for row in rows if row["state"] in ("pending", "firing")}
        self.deeds.end_acknowledgements(active)

    # The database

    async def looked(self) -> None:
        """Return when the database has been asked, whether it answered or not."""
        await self.exchange()

    def restore(self) -> list[tuple[float, tuple[str, str], Active, Row]] | None:
        """Return our alerts as a process before this one left them, each with the seconds since; None if not known yet.

        Those of an instance of this host that stopped in good order are ours, too: it had another name, for it was
        another process. They count as taken up then: from now on alerts are written.
        """
        if not self._read:
            return None
        now, found, rest = self._host.clock.time(), [], []
        for row in self._shared.alerts:
            engine = self._shared.engines.get(row["owner"])
            if row["owner"] == self.owner or self._left_to_us(engine):
                downtime = max(0.0, now - engine["seen_at"]) if engine is not None else 0.0
                found.append((downtime, (row["name"], row["source"]), *self._inherited(row)))
            else:
                rest.append(row)
        self._shared = replace(self._shared, alerts=rest)
        firing = {row["key"] for *_, row in found if row["state"] == "firing"}
        for one in self._outbox.waiting():
            # What seemed to begin while the database was away had begun before, and is told once.
            values = one.values or {}
            if one.table == _HISTORY and values["key"] in firing and values["state"] in ("pending", "firing"):
                self._outbox.done([one])
        self.restored = True
        return found

    def _left_to_us(self, engine: Row | None) -> bool:
        return (
            self._lease is None
            and engine is not None
            and bool(engine["stopped"])
            and engine["host"] == socket.gethostname()
            and engine["owner"] != self.owner
        )

    def _inherited(self, row: Row) -> tuple[Active, Row]:
        alert = active_of(row)
        if row["owner"] == self.owner:
            return alert, row
        self._put(_CURRENT, {"service": row["service"], "owner": row["owner"], "key": row["key"]}, None)
        labels = dict(alert.labels)
        if labels.get("instance") == row["owner"]:
            labels["instance"] = self.owner
        return replace(alert, labels=tuple(sorted(labels.items()))), row

    async def exchange(self) -> bool:
        """Write what waits and read what others wrote; return whether the database took part."""
        async with self._lock:
            try:
                await self._exchange()
            except Exception as error:
                self._failed(error)
                return False
            self._count()
            if self._fault:
                self._fault = ""
                self._degraded(None)
                self._host.log.info("alerts_saved")
            return True

    async def _exchange(self) -> None:
        now = self._host.clock.time()
        if not self._read:
            # SQLAlchemy takes a quarter of a second to import; the event loop has other things to do.
            await self._database.ready()
            await asyncio.to_thread(importlib.import_module, "bedplate.monitor.alerts.tables")
        if self.evaluates and self.restored and now - self._signed >= _SIGN:
            self._sign(now, stopped=False)
        waiting = self._outbox.waiting()
        if self.evaluates and (not self.restored or (self._lease is not None and self._lease.fence == 0)):
            # The alerts of the process before this one must be known, and the lease be ours, before ours are written.
            waiting = [one for one in waiting if one.table not in _ALERTS]
        tidies = now - self._tidied >= _TIDY
        async with self._database.begin() if waiting or tidies else self._database.connect() as connection:
            if waiting:
                await self._write(connection, waiting)
            if tidies:
                await tidy(connection, self._host.service, now - self._settings.history)
            shared = await read_shared(connection, self._host.service)
        self._outbox.done(waiting)
        if tidies:
            self._tidied = now
        self._adopt(shared)
        self._read = True
        self._resolve_gone(now)
        if self.restored or not self.evaluates:
            self._end_acknowledgements()

    async def _write(self, connection: AsyncConnection, waiting: Sequence[Write]) -> None:
        lease = self._lease if any(one.table in _ALERTS for one in waiting) else None
        if lease is not None and not await lease.confirmed(connection, self._host):
            # Somebody else evaluates now, and what we found does not count any more.
            waiting = [one for one in waiting if one.table not in _ALERTS]
        await write(connection, waiting)

    def _adopt(self, shared: Shared) -> None:
        """Take in what was read; what waits to be written is later than that."""
        self._shared = shared
        self.deeds.adopt(shared, self._outbox.waiting())
        if not (self.evaluates and self.restored):
            return
        stored = {row["key"]: row for row in shared.alerts if row["owner"] == self.owner}
        for rows in self._rows.values():
            for key, row in rows.items():
                if row["state"] == "firing" and row["episode"] is not None:
                    row["episode"] = min([row["episode"], *self._firing_elsewhere(row["fingerprint"], key)])
                there = stored.get(key)
                if there is None or there["state"] != row["state"] or there["episode"] != row["episode"]:
                    self._put(_CURRENT, self._key(key), dict(row))

    def _resolve_gone(self, now: float) -> None:
        """Resolve the alerts of instances that say nothing any more; all that are left may do it, with one result."""
        for row in self._shared.alerts:
            if row["owner"] == self.owner:
                continue
            engine = self._shared.engines.get(row["owner"])
            seen = engine["seen_at"] if engine is not None else 0.0
            if now - seen <= self._settings.gone_after:
                continue
            key = {"service": row["service"], "owner": row["owner"], "key": row["key"]}
            if row["state"] != "firing":
                if row["state"] == "pending" or now - row["resolved_at"] > RESOLVED_RETENTION:
                    self._put(_CURRENT, key, None)
                continue
            values = {name: value for name, value in row.items() if name not in key}
            values |= {"state": "resolved", "resolved_at": now, "kept_since": None}
            self._put(_CURRENT, key, values)
            past = {name: value for name, value in values.items() if name not in ("kept_since", "episode")}
            id = digest([("key", row["key"]), ("fired_at", str(row["fired_at"])), ("seen", str(seen))])
            self._put(_HISTORY, {"id": f"gone-{id}"}, {**past, **key, "at": now, "before": "firing"})

    def _sign(self, now: float, *, stopped: bool) -> None:
        self._signed = now
        key = {"service": self._host.service, "owner": self.owner}
        self._put(_ENGINES, key, {"host": socket.gethostname(), "seen_at": now, "stopped": stopped})

    def _failed(self, error: Exception) -> None:
        reason = told(error)
        if self._outbox.dropped:
            reason += f" {self._outbox.dropped} changes were given up, since too many wait."
        if reason != self._fault:
            self._fault = reason
            self._host.log.warning("alerts_unsaved", waiting=len(self._outbox), error=reason)
        self._count()
        self._degraded(f"Alerts are kept in memory alone: {reason}")

    def _count(self) -> None:
        """Say what waits, and what of it a database that works would have taken long ago."""
        # What waits less is no fault: every change waits a moment, those of the alert about what waits as well.
        late = self._host.clock.monotonic() - _PATIENCE * self._settings.sync_interval
        self._host.bind(WAITING).set(float(len(self._outbox)))
        self._host.bind(OVERDUE).set(float(self._outbox.older(late)))

    async def wait(self) -> None:
        """Return when there is something to write, or the time has come to look."""
        waking = asyncio.ensure_future(self._wake.wait())
        sleeping = asyncio.ensure_future(self._host.clock.sleep(self._settings.sync_interval))
        try:
            await asyncio.wait({waking, sleeping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waking.cancel()
            sleeping.cancel()
            await asyncio.wait({waking, sleeping})  # awaiting one would not tell its cancellation from ours
        self._wake.clear()

    async def close(self) -> None:
        """Write what is left, and say goodbye."""
        if not self._read:
            return
        if self.evaluates and self.restored:
            self._sign(self._host.clock.time(), stopped=True)
        await self.exchange()
