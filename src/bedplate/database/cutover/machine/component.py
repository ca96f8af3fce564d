"""The component: tables that move to partitions while they are written to, and back if need be."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bedplate.component import Environment, Host, Spec
from bedplate.database.component import Database
from bedplate.database.cutover.machine.buttons import actions_of
from bedplate.database.cutover.machine.figures import metrics_figures, not_needed
from bedplate.database.cutover.machine.meters import show_not_needed
from bedplate.database.cutover.machine.metrics import METRICS, alerts, checks, panels
from bedplate.database.cutover.machine.routes import routes_of
from bedplate.database.cutover.machine.running import Running
from bedplate.database.cutover.machine.sections import sections_of
from bedplate.database.cutover.machine.settings import CutoverSettings
from bedplate.database.cutover.plan import Mode, Plan
from bedplate.declarations import Action, Migrations, Routes, Runbook, Section
from bedplate.degradation import Degradation
from bedplate.problems import Refusal
from bedplate.settings.secret import Secret

if TYPE_CHECKING:
    from bedplate.database.cutover.machine.actions import Steps

__all__ = ["MIGRATIONS", "Cutover"]

_RUNBOOK = Runbook(text=Path(__file__).with_name("runbook.md").read_text(encoding="utf-8"))
MIGRATIONS = Migrations(name="cutover", package="bedplate.database.cutover.machine.revisions")


class Cutover:
    """Moves tables to hash partitions under proof: ``Cutover(database, tables=("orders",), key="organization_id")``.

    Nothing happens until somebody presses start. Buttons, and ``bedplate cutover``, write what is wanted into a row;
    one worker of all instances carries it out, in a thread of the process that watches the others, by a connection of
    its own to the primary. On SQLite there is nothing to move, and it says so.

    :param tables: one name or several, which move together. :param key: the column of each that partitions it.
    :param mode: ``capture`` logs keys, loads and replays; ``dual-write`` keeps both sides equal by triggers.
    :param primary: the primary's own address, where a pooler stands before ``database``.
    :param prefix: where the management API is. :param steps: others than the real ones, for tests.
    :raises DeclarationError: when the plan cannot be right for any database.
    """

    def __init__(
        self,
        database: Database,
        name: str = "default",
        *,
        tables: str | tuple[str, ...] | list[str],
        key: str,
        partitions: int = 64,
        mode: Mode = "capture",
        primary: str | Secret = "",
        settings: CutoverSettings | None = None,
        prefix: str = "/monitoring",
        steps: Steps | None = None,
    ) -> None:
        self.name = name
        self.plan = Plan(tables=tables, key=key, partitions=partitions, mode=mode)
        self.settings = settings or CutoverSettings()
        self._database = database
        self._primary = primary if isinstance(primary, Secret) else Secret(primary)
        self._steps = steps
        self._host: Host | None = None
        self._running: Running | None = None
        names = ", ".join(self.plan.tables)
        self._spec = Spec(
            kind="cutover",
            name=name,
            summary=f"Moves {names} to {partitions} partitions by {key} while they are written to.",
            needs=(database,),
            settings=self.settings,
            scope="cluster",
            degradation=Degradation(
                policy="refuse", summary="The worker stops where it is, goes on by itself, and nothing is half done."
            ),
            metrics=tuple(metric(cutover=name) for metric in METRICS),
            alerts=alerts(name),
            panels=panels(name),
            checks=checks(name, prefix),
            runbook=_RUNBOOK,
        )

    @property
    def spec(self) -> Spec:
        """The component's declaration."""
        return self._spec

    @property
    def running(self) -> Running | None:
        """The cutover while its service runs; None before and after, and where nothing is to be moved."""
        return self._running

    @property
    def unneeded(self) -> str:
        """Why there is nothing to do, in words; empty where there is."""
        if self._database.dialect == "postgresql":
            return ""
        return "Not needed: an SQLite file has no partitions. On PostgreSQL the tables can be moved."

    @property
    def url(self) -> Secret:
        """Where the worker works: the primary itself; empty when that is not known."""
        return self._primary if self._primary.reveal() else self._database.server

    def migrations(self) -> Migrations:
        """Return the revisions of the tables that remember cutovers."""
        return MIGRATIONS

    def refusals(self, environment: Environment, settings: Mapping[str, Any]) -> Iterable[Refusal]:
        """Return why it should not start here: behind a pooler, without the primary's own address."""
        if not self.unneeded and not self.url.reveal():
            what = "Its worker needs a session with the primary, and a pooler stands between."
            yield Refusal(self._spec.label, what, "Set DATABASE_PRIMARY_URL, and pass it: Cutover(primary=…).")

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Carry out what is wanted while inside, where this is the process that watches; show how it is."""
        self._host = host
        if self.unneeded:
            show_not_needed(host)
            try:
                yield
            finally:
                self._host = None
            return
        self._running = running = Running(
            host, self._database, self.url.reveal(), self.name, self.plan, self.settings, self._steps
        )
        if host.alone or host.role == "ops":
            host.spawn("watch cutover", running.watch)
            host.spawn("run cutover", running.work)
        try:
            yield
        finally:
            self._host = self._running = None
            await running.close()

    def actions(self) -> Sequence[Action]:
        """Return its buttons."""
        return actions_of(self)

    def routes(self) -> Sequence[Routes]:
        """Return what tells of cutovers."""
        return routes_of(lambda: self._host)

    def sections(self) -> Sequence[Section]:
        """Return its way, its readiness and its time line for the console."""
        running = self._running
        if running is None:
            return sections_of(None, None, self.unneeded)
        return sections_of(running.sight, running.readiness, self.unneeded)

    def overview(self) -> Mapping[str, Any]:
        """Return how it is, for the page that shows everything."""
        running = self._running
        if running is None or running.sight is None or running.readiness is None:
            return not_needed(self.name, self.plan, self.unneeded) if self.unneeded else {"cutover": self.name}
        import time

        return metrics_figures(self.name, running.plan, running.sight, running.readiness, time.monotonic())
