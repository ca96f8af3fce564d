"""A cutover while its service runs: the worker's thread, the eye on the tables, and what was seen last."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from bedplate.component import Host
from bedplate.database.cutover.asking import CutoverError, connected
from bedplate.database.cutover.machine.following import Following
from bedplate.database.cutover.machine.look import Sight, look
from bedplate.database.cutover.machine.meters import HostListener, HostMeter, show
from bedplate.database.cutover.machine.readiness import Readiness, proof_limit, readiness
from bedplate.database.cutover.machine.runner import Runner
from bedplate.database.cutover.machine.settings import CutoverSettings
from bedplate.database.cutover.machine.threads import in_thread
from bedplate.database.cutover.machine.wishes import Wish, press
from bedplate.database.cutover.plan import Plan
from bedplate.database.errors import DatabaseUnavailableError, MigrationError
from bedplate.declarations import Actor

if TYPE_CHECKING:
    from psycopg import Connection

    from bedplate.database.component import Database
    from bedplate.database.cutover.machine.actions import Steps

__all__ = ["Running"]

#: Seconds until a database that is away is tried again.
_AWAY = 5.0


class Running:
    """One cutover in one process.

    :param url: of the primary itself. :param steps: None for the real ones.
    """

    def __init__(
        self, host: Host, database: Database, url: str, name: str, plan: Plan, settings: CutoverSettings, steps: Any
    ) -> None:
        self.host = host
        self.name = name
        self.plan = plan
        self.settings = settings
        self.sight: Sight | None = None
        self.trouble = ""
        self._database = database
        self._url = url
        self._steps: Steps | None = steps
        self._eye: Connection[Any] | None = None
        self._open = ExitStack()
        self._looking = threading.Lock()
        self._following = Following()

    @property
    def readiness(self) -> Readiness | None:
        """How ready it is, as seen last."""
        return None if self.sight is None else readiness(self.sight, fresh=self.settings.fresh)

    async def work(self) -> None:
        """Carry out what is wanted, for as long as the service runs."""
        await self._tables()
        listener = HostListener(self.host)

        def make() -> Runner:
            steps = self._steps
            if steps is None:
                from bedplate.database.cutover.machine.real import real_steps

                steps = real_steps()
            return Runner(
                self._url,
                self.name,
                steps,
                HostMeter(self.host),
                listener=listener,
                verify_every=self.settings.verify_every,
            )

        runner = make()
        await in_thread(runner.run, runner.stop, f"bedplate-cutover {self.name}")

    async def watch(self) -> None:
        """Look again and again."""
        await self._tables()
        while True:
            try:
                await self.look()
            except (CutoverError, OSError) as error:
                self._degraded(str(error))
            await self.host.clock.sleep(self.settings.interval)

    async def look(self) -> Sight:
        """Look once, and show what is seen.

        :raises CutoverError: when the database cannot be asked.
        """
        sight = await in_thread(self._look, self._stop, f"bedplate-cutover-look {self.name}")
        self._seen(sight)
        return sight

    async def press(self, wish: Wish, actor: Actor, percent: int, confirm: str) -> dict[str, Any]:
        """Want something, as :func:`~bedplate.database.cutover.machine.wishes.press` says; judged by a new look."""
        sight = await self.look()
        ready = readiness(sight, fresh=self.settings.fresh) if wish == "switch" else None

        def write() -> dict[str, Any]:
            with connected(self._url) as connection:
                return press(
                    connection,
                    self.name,
                    wish,
                    actor.name,
                    plan=self.plan,
                    percent=percent,
                    confirm=confirm,
                    readiness=ready,
                )

        done = await in_thread(write, lambda: None, f"bedplate-cutover-press {self.name}")
        await self.look()
        return done

    async def close(self) -> None:
        """Close the eye."""
        await in_thread(self._close, self._stop, f"bedplate-cutover-close {self.name}")

    async def _tables(self) -> None:
        """Return once the tables of cutovers are there."""
        while True:
            try:
                await self._database.ready()
                return
            except MigrationError:
                raise
            except DatabaseUnavailableError as error:
                self._degraded(str(error))
                await self.host.clock.sleep(_AWAY)

    def _look(self) -> Sight:
        import psycopg

        with self._looking:
            try:
                if self._eye is None or self._eye.closed:
                    self._eye = self._open.enter_context(connected(self._url))
                return look(self._eye, self.name, self.plan, self.sight, following=self._following)
            except psycopg.Error as error:
                self._shut()
                words = " ".join(str(error).split())[:300]
                raise CutoverError(f"The cutover cannot be looked at: {words}.", "See DatabaseDown.") from error

    def _stop(self) -> None:
        eye = self._eye
        if eye is not None and not eye.closed:
            eye.cancel_safe(timeout=1.0)

    def _close(self) -> None:
        with self._looking:
            self._shut()

    def _shut(self) -> None:
        self._eye = None
        self._open.close()
        self._open = ExitStack()

    def _seen(self, sight: Sight) -> None:
        self.sight = sight
        fresh = self.settings.fresh
        show(self.host, sight, readiness(sight, fresh=fresh), proof_limit(sight.record, fresh))
        record = sight.record
        waits = record is not None and record.trouble in ("waits", "retries")
        self._degraded(f"{record.error} {record.mend}" if waits and record is not None else None)

    def _degraded(self, reason: str | None) -> None:
        self.trouble = reason or ""
        self.host.degraded(reason)
