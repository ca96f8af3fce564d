"""The component: evaluates alerts, remembers them in the database, and answers for them."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Literal

from bedplate.component import Host, Lease, Spec
from bedplate.database import Database, RowLease
from bedplate.declarations import Action, Migrations
from bedplate.degradation import Degradation
from bedplate.monitor.alerts.actions import actions_of
from bedplate.monitor.alerts.board import FLEET, judged, notices_of, view_of
from bedplate.monitor.alerts.causes import AFTER, Causes, because, causes
from bedplate.monitor.alerts.engine import Engine, GroupPlan, Round, told
from bedplate.monitor.alerts.interfaces import Queried, RuleView, Sampled, rule_view
from bedplate.monitor.alerts.keeping import Keeping
from bedplate.monitor.alerts.metrics import ACTIVE, ALERTS, DURATION, EVALUATIONS, FAILURES, METRICS, MISSED, PANELS
from bedplate.monitor.alerts.notices import Acknowledgement, AlertView, Matcher, Notice, Silence, Transition
from bedplate.monitor.alerts.rules import Rule, rules
from bedplate.monitor.alerts.settings import AlertSettings
from bedplate.monitor.runbooks import runbook
from bedplate.problems import BedplateError

__all__ = ["Alerts"]

_RUNBOOK = runbook(__file__)
#: Transitions that are remembered without a database.
_RECENT = 1000


class Alerts:
    """The alerts of a service: from every component's declarations to who knows of them.

    One process of a host evaluates, the one that samples. Each host does so over its own samples; with Prometheus, one
    of all instances does over the whole fleet's, and while Prometheus is away over its own, and says that it is
    degraded. The database says to all what each of them found; while it is away, every process goes on from memory,
    says that it is degraded, and writes later.

    :param database: where alerts are remembered. :param samples: whose ring gets ``ALERTS``.
    :param queries: who evaluates expressions. :param fleet: whether Prometheus is there to be asked for all instances.
    :param kept: for how many seconds samples are kept here; rules that look further back are Prometheus' alone.
    """

    def __init__(
        self,
        settings: AlertSettings | None = None,
        *,
        database: Database,
        samples: Sampled,
        queries: Queried,
        fleet: bool = False,
        kept: float | None = None,
    ) -> None:
        self.settings = settings or AlertSettings()
        self._samples = samples
        self._queries = queries
        self._fleet = fleet
        self._kept = kept
        self._host: Host | None = None
        self._engine: Engine | None = None
        self._rules: tuple[Rule, ...] = ()
        self._causes: Causes = ()
        self._keeping: Keeping | None = None
        self._subscribers: list[Callable[[Transition], None]] = []
        self._recent: deque[Transition] = deque(maxlen=_RECENT)
        self._faults: dict[str, str | None] = {}
        self.keep_in(database)

    def keep_in(self, database: Database) -> None:
        """Remember alerts in another database, before the service starts; its own one, if it brings one."""
        self.database = database
        self._lease = RowLease(database, "alerts.evaluate", alone=True)
        self._spec = Spec(
            kind="alerts",
            summary="Evaluates the alerts of all components, remembers them, and says who looks after which.",
            needs=(database, self._samples),
            settings=self.settings,
            scope="cluster",
            degradation=Degradation(
                policy="queue",
                summary="Without its database it goes on from memory and writes once it is back. Without Prometheus it"
                " goes on over one instance's samples.",
            ),
            metrics=METRICS,
            alerts=ALERTS,
            panels=PANELS,
            runbook=_RUNBOOK,
        )

    @property
    def spec(self) -> Spec:
        """The component's declaration."""
        return self._spec

    def migrations(self) -> Migrations:
        """Return the revisions of its tables."""
        return Migrations(name="alerts", package="bedplate.monitor.alerts.migrations")

    def actions(self) -> Sequence[Action]:
        """Return what operators may do: acknowledge, silence, expire a silence."""
        return actions_of(self)

    @property
    def active(self) -> bool:
        """Whether this process watches: it runs, samples, and alerts are enabled."""
        return self._keeping is not None

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Evaluate while inside, in the process of a host that samples."""
        if not (self._samples.active and self.settings.enabled):
            yield
            return
        self._host = host
        specs = [view.spec for view in host.components]
        self._rules, self._causes = rules(host.service, specs), causes(specs)
        scope: Literal["host", "fleet"] = "fleet" if self._fleet else "host"
        self._engine = Engine(
            self._rules,
            ask=lambda expr, at: self._queries.vector(expr, at, scope=scope),
            clock=host.clock,
            time_scale=self.settings.time_scale,
            kept=None if self._fleet else self._kept,
            alone=(lambda expr, at: self._queries.vector(expr, at, scope="host")) if self._fleet else None,
            own=self._kept,
        )
        self._keeping = Keeping(
            self.database,
            self.settings,
            host,
            FLEET if self._fleet else self._samples.instance,
            {(rule.name, rule.source): rule.section for rule in self._rules},
            lease=self._lease if self._fleet else None,
            degraded=lambda reason: self._degraded("database", reason),
        )
        self._bind(host, self._engine)
        host.spawn("keep", self._keep)
        host.spawn("evaluate", self._evaluate, lease=self._lease if self._fleet else None)
        try:
            yield
        finally:
            try:
                await self._keeping.close()
            finally:
                self._host = self._engine = self._keeping = None

    # What others ask

    def current(self, *, resolved: bool = True) -> Sequence[AlertView]:
        """Return the alerts of all instances as far as they are known here: firing, then pending, then resolved ones.

        :param resolved: also those that ended within the last quarter of an hour.
        """
        if self._keeping is None or self._host is None:
            return ()
        ours = self._ours()
        known = {view.key for view in ours}
        views = [*ours, *(view for view in self._keeping.others() if view.key not in known)]
        views = because(views, self._causes, self._now, AFTER * self.settings.time_scale)
        if not resolved:
            views = [view for view in views if view.state != "resolved"]
        deeds = self._keeping.deeds
        return judged(views, deeds.silences.values(), deeds.acknowledgements, self._now)

    def find(self, fingerprint: str) -> AlertView | None:
        """Return the gravest alert of a fingerprint or key that is pending or fires."""
        found = self.current(resolved=False)
        return next((view for view in found if fingerprint in (view.fingerprint, view.key)), None)

    def rules(self) -> Sequence[RuleView]:
        """Return every rule of the service with what became of it here, in the order of declaration."""
        engine, alerts = self._engine, self._ours()
        if engine is None:
            return ()
        scale = self.settings.time_scale
        return [rule_view(rule, engine.states.get((rule.name, rule.source)), alerts, scale) for rule in self._rules]

    async def history(
        self,
        limit: int = 100,
        *,
        since: float = 0.0,
        until: float | None = None,
        name: str = "",
        fingerprint: str = "",
    ) -> Sequence[Transition]:
        """Return transitions of all instances, the latest first; of this process alone while the database is away.

        :param since: Unix seconds. :param until: Unix seconds, that moment included; None for now.
        """
        if self._keeping is None:
            return ()
        found = await self._keeping.history(limit, since=since, until=until, name=name, fingerprint=fingerprint)
        if found is not None:
            return found
        recent = [
            one
            for one in reversed(self._recent)
            if since <= one.at
            and (until is None or one.at <= until)
            and name in ("", one.alert.name)
            and fingerprint in ("", one.alert.fingerprint)
        ]
        return recent[:limit]

    async def acknowledge(self, fingerprint: str, actor: str, note: str = "") -> Acknowledgement:
        """Note that somebody looks after an alert, until it is resolved.

        :param fingerprint: or the key of one of its alerts.
        :raises BedplateError: when there is no such alert.
        """
        keeping, alert = self._running(), self.find(fingerprint)
        if alert is None:
            raise BedplateError(f"No alert {fingerprint} is pending or fires.", "It may have been resolved meanwhile.")
        made = keeping.deeds.acknowledge(alert.fingerprint, actor, note, self._now)
        await keeping.exchange()
        return made

    async def silence(
        self,
        matchers: Sequence[Matcher],
        *,
        duration: float,
        actor: str,
        comment: str = "",
        starts: float | None = None,
    ) -> Silence:
        """Let nobody be told of the alerts that all conditions match, for some time.

        :param duration: seconds. :param starts: Unix seconds, now by default.
        :raises BedplateError: when it would be over already, or has no condition that rules anything out.
        """
        keeping, now = self._running(), self._now
        begins = now if starts is None else starts
        made = keeping.deeds.silence(tuple(matchers), begins, begins + duration, actor, comment, now)
        await keeping.exchange()
        return made

    async def unsilence(self, id: str, actor: str) -> Silence:
        """End a silence now.

        :raises BedplateError: when there is none, or it has ended.
        """
        keeping = self._running()
        ended = keeping.deeds.unsilence(id, self._now)
        if self._host is not None:
            self._host.log.info("silence_ended", silence=id, actor=actor)
        await keeping.exchange()
        return ended

    def silences(self, *, ended: bool = False) -> Sequence[Silence]:
        """Return the silences that are in force or to come, and perhaps those that ended; the next to end first."""
        if self._keeping is None or self._host is None:
            return ()
        now = self._host.clock.time()
        return sorted(
            (one for one in self._keeping.deeds.silences.values() if ended or one.ends > now),
            key=lambda one: (one.ends, one.id),
        )

    # What a sender asks: bedplate.monitor.alerts.notices.Notices

    def subscribe(self, callback: Callable[[Transition], None]) -> Callable[[], None]:
        """Call back at every transition of an alert that this process evaluates; returns what ends that."""
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    async def notices(self) -> Sequence[Notice]:
        """Return what people should know of now; see :class:`bedplate.monitor.alerts.notices.Notices`."""
        if self._keeping is None:
            return ()
        await self._keeping.exchange()
        return notices_of(self.current(), self._keeping.episodes, self._keeping.deeds.sent)

    async def note_sent(self, notice: Notice, channel: str) -> None:
        """Note that a channel was told of a notice."""
        keeping = self._running()
        keeping.deeds.note_sent(notice, channel, self._now)
        await keeping.exchange()

    def sending(self) -> Lease:
        """Return the lease that one of all instances holds: who has it sends."""
        return RowLease(self.database, "alerts.send", alone=True)

    # How it works

    def _running(self) -> Keeping:
        if self._keeping is None:
            raise BedplateError("Alerts are not evaluated in this process.", "Ask the one that watches.")
        return self._keeping

    @property
    def _now(self) -> float:
        assert self._host is not None
        return self._host.clock.time()

    def _ours(self) -> list[AlertView]:
        engine, keeping = self._engine, self._keeping
        if engine is None or keeping is None or not keeping.evaluates:
            return []
        return [view_of(state.rule, alert, keeping.owner) for state, alert in engine.alerts()]

    def _bind(self, host: Host, engine: Engine) -> None:
        for plan in engine.groups:
            # Counters begin at 0, so that the first failure is an increase.
            for metric in (EVALUATIONS, FAILURES, MISSED):
                host.bind(metric, group=plan.name)
        self._count(host)

    async def _keep(self) -> None:
        """Exchange with the database again and again, and at once when there is something to write."""
        keeping, host = self._keeping, self._host
        assert keeping is not None and host is not None
        while True:
            await keeping.exchange()
            await keeping.wait()

    async def _evaluate(self) -> None:
        """Evaluate every group when it is due, one at a time."""
        engine, host, keeping = self._engine, self._host, self._keeping
        assert engine is not None and host is not None and keeping is not None
        keeping.evaluates = True
        if self._fleet:
            keeping.forget()
        try:
            engine.begin(past=self._fleet)
            await keeping.looked()
            self._restore(engine, keeping)
            count = len(engine.groups)
            # Spread over the interval, so that not all are due at once.
            rounds = [Round(plan, host.clock, (index + 1) / count) for index, plan in enumerate(engine.groups)]
            while rounds:
                turn = min(rounds, key=lambda one: one.due)
                await host.clock.sleep(max(0.0, turn.due - host.clock.monotonic()))
                self._restore(engine, keeping)
                await self._evaluate_group(turn.plan, turn.at, engine, host, keeping)
                if missed := turn.next():
                    host.bind(MISSED, group=turn.plan.name).inc(missed)
        finally:
            self._degraded("fleet", None)
            # Without Prometheus nobody else evaluates the alerts of this instance.
            keeping.evaluates = not self._fleet

    def _restore(self, engine: Engine, keeping: Keeping) -> None:
        """Take up where the last process left off, as soon as the database has told where that was."""
        found = keeping.restore() if not keeping.restored else None
        if found is None:
            return
        rows = {alert.labels: row for _, _, alert, row in found}
        for downtime, name, alert, _ in found:
            engine.restore([(name, alert)], downtime)
        for state, alert in engine.alerts():
            if (row := rows.get(alert.labels)) is not None:
                keeping.known(view_of(state.rule, alert, keeping.owner), row)

    async def _evaluate_group(self, plan: GroupPlan, at: float, engine: Engine, host: Host, keeping: Keeping) -> None:
        before = {id(state): state.error for state in plan.rules}
        done = await engine.evaluate(plan, at)
        alone = "Alerts are evaluated over the samples of this instance alone: "
        self._degraded("fleet", f"{alone}{engine.away}" if engine.away else None)
        host.bind(EVALUATIONS, group=plan.name).inc(len(plan.rules))
        host.bind(DURATION, group=plan.name).observe(done.seconds)
        if done.failed:
            host.bind(FAILURES, group=plan.name).inc(len(done.failed))
        for state in done.failed:
            if before[id(state)] != state.error:
                host.log.warning("alert_evaluation_failed", alert=state.rule.name, error=state.error)
        if not self._fleet:
            self._samples.record(engine.series(plan, self._samples.instance), at, group=plan.name)
        views = [view_of(state.rule, alert, keeping.owner) for state in plan.rules for alert in state.active.values()]
        transitions = [
            Transition(alert=view_of(change.rule, change.alert, keeping.owner), before=change.before, at=at)
            for change in done.changes
        ]
        keeping.take(plan.name, views, transitions)
        self._count(host)
        for transition in transitions:
            self._tell(transition, host)

    def _degraded(self, what: str, reason: str | None) -> None:
        """Say why alerts are not what they should be; the database and Prometheus may be away at once."""
        if self._host is not None and self._faults.get(what) != reason:
            self._faults[what] = reason
            self._host.degraded(" ".join(filter(None, self._faults.values())) or None)

    def _tell(self, transition: Transition, host: Host) -> None:
        self._recent.append(transition)
        alert = transition.alert
        if alert.state in ("firing", "resolved"):
            log = host.log.warning if alert.state == "firing" else host.log.info
            log(
                f"alert_{alert.state}",
                alert=alert.name,
                severity=alert.severity,
                source=alert.source,
                summary=alert.summary,
                value=alert.value,
                fingerprint=alert.fingerprint,
            )
        for callback in tuple(self._subscribers):
            try:
                callback(transition)
            except Exception as error:
                host.log.error("alert_subscriber_failed", error=told(error))

    def _count(self, host: Host) -> None:
        counts: dict[tuple[str, str], int] = {}
        for view in self._ours():
            counts[view.state, view.severity] = counts.get((view.state, view.severity), 0) + 1
        for state in ("pending", "firing"):
            for severity in ("critical", "warning", "info"):
                host.bind(ACTIVE, state=state, severity=severity).set(float(counts.get((state, severity), 0)))
