"""The component that shows the service as a whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bedplate.component import HasOverview, Host, Spec
from bedplate.declarations import Routes
from bedplate.monitor.alerts.notices import AlertView
from bedplate.monitor.auth import Authenticator
from bedplate.monitor.management.interfaces import ErrorSource
from bedplate.monitor.management.requests import json_body, query_of
from bedplate.monitor.management.responses import Json, not_found, starting
from bedplate.monitor.replies import ProblemError
from bedplate.monitor.runbooks import runbook
from bedplate.monitor.unified import documents
from bedplate.monitor.unified.figures import Figures
from bedplate.monitor.unified.interfaces import AlertSource, HealthSource, Presses
from bedplate.monitor.unified.metrics import PANELS, STATUS, checks
from bedplate.monitor.unified.past import page_of
from bedplate.monitor.unified.requests import AlertQuery, SilenceQuery, chosen_by, read_body
from bedplate.monitor.unified.status import LEVELS, Verdict, count, judge, sentences
from bedplate.problems import Problem
from bedplate.telemetry.redaction import Redactor

__all__ = ["Unified"]

_RUNBOOK = runbook(__file__)
_BODY = 16 * 1024
_TICK = 2.0
_SHOWN = 50


class Unified:
    """One verdict over health and alerts, and one page with everything that matters.

    It takes no instance out of rotation: ``/readyz`` knows of no alert, which is often everywhere at once.

    :param presses: does the engine's actions and records who did them.
    :param errors: the grouped errors; None where a service keeps none.
    :param fleet: whether Prometheus knows all instances; else numbers are those of this host.
    :param prefix: where the management API is.
    """

    def __init__(
        self,
        *,
        health: HealthSource,
        alerts: AlertSource,
        auth: Authenticator,
        presses: Presses,
        errors: ErrorSource | None = None,
        redactor: Redactor | None = None,
        fleet: bool = False,
        prefix: str = "/monitoring",
    ) -> None:
        self._health = health
        self._alerts = alerts
        self._auth = auth
        self._presses = presses
        self._errors = errors
        self._redactor = redactor or Redactor()
        self._fleet = fleet
        self._host: Host | None = None
        self._figures: Figures | None = None
        self._started = 0.0
        self._level = ""
        self._spec = Spec(
            kind="unified",
            summary="Says how the service is as a whole, by its health and its alerts.",
            needs=(health, alerts, auth),
            metrics=(STATUS,),
            panels=PANELS,
            checks=tuple(checks(prefix)),
            runbook=_RUNBOOK,
        )

    @property
    def spec(self) -> Spec:
        """The component's declaration."""
        return self._spec

    @property
    def verdict(self) -> Verdict:
        """How the service is, and why."""
        return judge(self._health.status, self._alerts.current(resolved=False))

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Keep the verdict while inside."""
        self._host, self._started = host, host.clock.monotonic()
        self._figures = Figures(host, "fleet" if self._fleet else "host")
        forget = self._alerts.subscribe(lambda _: self._note())
        if self._alerts.active:
            host.spawn("status", self._follow)
        try:
            yield
        finally:
            forget()
            self._host = self._figures = None

    def routes(self) -> Sequence[Routes]:
        """Return its routes, for viewers; acknowledging is for operators."""
        return (
            Routes(
                routes=[
                    Route("/unified/metrics", self._metrics),
                    Route("/unified/health", self._whole),
                    Route("/unified/alerts", self._list),
                    Route("/unified/silences", self._silences),
                    Route("/unified/acknowledge-alert", self._acknowledge, methods=["POST"]),
                    Route("/dashboard", self._dashboard),
                ],
                access="viewer",
            ),
        )

    async def _follow(self) -> None:
        host = self._host
        assert host is not None
        while True:
            self._note()
            await host.clock.sleep(_TICK)

    def _note(self) -> None:
        """Show the verdict as a metric, and log when it is another one."""
        host = self._host
        if host is None or not self._alerts.active:
            return
        verdict = self.verdict
        for level in LEVELS:
            host.bind(STATUS, level=level).set(float(level == verdict.level))
        if verdict.level != self._level:
            if self._level:
                log = host.log.info if verdict.level == "healthy" else host.log.warning
                log("unified_status_changed", before=self._level, after=verdict.level, because=self._because(verdict))
            self._level = verdict.level

    def _because(self, verdict: Verdict) -> str:
        return self._redactor.text("; ".join(cause.alert or cause.component for cause in verdict.causes))

    async def _metrics(self, request: Request) -> Response:
        """Return the numbers of the whole service, and those that components contribute under their kinds."""
        host = self._running()
        counts = count(self._alerts.current(resolved=False))
        document: dict[str, Any] = {
            "service": host.service,
            "time": host.clock.time(),
            "system": {**self._system(host), "instances": await self._instances()},
            "alerts": counts,
            "components": dict(Counter(view.state for view in host.components)),
        }
        sections: dict[str, dict[str, Any]] = {}
        for view in host.components:
            if isinstance(view.component, HasOverview):
                sections.setdefault(view.spec.kind, {})[view.spec.name] = self._overview(view.component)
        for kind, named in sections.items():
            only = next(iter(named.values())) if len(named) == 1 else named
            document.setdefault(kind, only)  # a kind that is called like one of ours does not take its place
        return Json(document)

    def _overview(self, component: HasOverview) -> Any:
        try:
            return self._redactor.mapping(dict(component.overview()))
        except Exception as error:
            # What one component cannot say must not keep the others from being seen.
            return {"error": self._redactor.text(f"{type(error).__name__}: {error}")}

    async def _whole(self, request: Request) -> Response:
        """Return the verdict with everything that speaks against a better one; 503 when it is unhealthy."""
        host = self._running()
        verdict = self.verdict
        status = self._health.status
        report = self._health.report()
        document = {
            **self._system(host, verdict),
            "ready": status.ready,
            "phase": status.phase,
            "reasons": [self._cause(cause.document()) for cause in verdict.causes],
            "components": [
                {name: one[name] for name in ("kind", "name", "label", "state", "reason", "since")}
                for one in report["components"]
            ],
        }
        return Json(document, 503 if verdict.level == "unhealthy" else 200)

    async def _list(self, request: Request) -> Response:
        """Return the alerts that are active now, and a page of how alerts changed."""
        self._watching()
        query = query_of(request, AlertQuery)
        chosen = chosen_by(query)
        items, following = await page_of(self._alerts, query, chosen)
        current = [alert for alert in self._alerts.current(resolved=query.state == "resolved") if chosen(alert)]
        document = {
            "current": [documents.of_alert(alert) for alert in current],
            "items": [documents.of_transition(transition) for transition in items],
            "next": following,
        }
        return Json(document)

    async def _silences(self, request: Request) -> Response:
        """Return the silences that are in force or to come, and those that ended when asked for."""
        host = self._watching()
        query = query_of(request, SilenceQuery)
        now = host.clock.time()
        found = self._alerts.silences(ended=query.expired)
        return Json({"items": [documents.of_silence(silence, now) for silence in found]})

    async def _acknowledge(self, request: Request) -> Response:
        """Note that the caller looks after an alert."""
        self._watching()
        body = read_body(await json_body(request, _BODY))
        alert = self._find(body.alert, body.fingerprint)
        actor = self._auth.actor(request.scope)
        assert actor is not None  # the route's gate lets operators in and nobody less
        action = next(action for action in self._alerts.actions() if action.name == "acknowledge")
        given: dict[str, object] = {"fingerprint": alert.fingerprint, "note": body.note}
        await self._presses.press(self._alerts.spec.label, action, actor, given)
        now = next((one for one in self._alerts.current() if one.key == alert.key), alert)
        return Json(documents.of_alert(now))

    def _find(self, name: str, fingerprint: str) -> AlertView:
        """Return the one alert that is meant.

        :raises ProblemError: 404 when there is no such alert, 409 when it is not active, or several could be meant.
        """
        active = self._alerts.current(resolved=False)
        found = [
            alert for alert in active if name in ("", alert.name) and fingerprint in ("", alert.fingerprint, alert.key)
        ]
        if len({alert.fingerprint for alert in found}) == 1:
            return found[0]
        if found:
            listed = ", ".join(sorted({alert.fingerprint for alert in found}))
            detail = f"{len(found)} alerts {name} are active; give the fingerprint of one: {listed}."
            raise ProblemError(Problem(status=409, detail=detail))
        known = {alert.fingerprint for alert in self._alerts.current()} | {a.key for a in self._alerts.current()}
        rules = {rule.rule.name for rule in self._alerts.rules()}
        what = f"{name} {fingerprint}".strip()[:200]
        if fingerprint in known or (name in rules and not fingerprint):
            raise ProblemError(Problem(status=409, detail=f"The alert {what} is not active; there is nothing to do."))
        raise not_found(f"There is no alert {what}; unified/alerts lists those that are active.")

    async def _dashboard(self, request: Request) -> Response:
        """Return what a page needs that shows everything at a glance."""
        host, figures = self._running(), self._figures
        assert figures is not None
        verdict = self.verdict
        alerts = self._alerts.current(resolved=False)
        counts = count(alerts)
        requests, panels = await figures.read()
        document = {
            "service": host.service,
            "time": host.clock.time(),
            **self._system(host, verdict),
            "instances": await self._instances(),
            "sentences": [self._redactor.text(text) for text in sentences(host.service, verdict, counts)],
            "alerts": {**counts, "items": [documents.of_alert(alert, runbook=False) for alert in alerts[:_SHOWN]]},
            "requests": requests,
            "errors": self._error_groups(),
            "panels": panels,
            "components": dict(Counter(view.state for view in host.components)),
        }
        return Json(document)

    def _error_groups(self) -> list[dict[str, Any]]:
        return list(self._errors.search(limit=5)) if self._errors is not None else []

    def _system(self, host: Host, verdict: Verdict | None = None) -> dict[str, Any]:
        level = (verdict or self.verdict).level
        uptime = round(host.clock.monotonic() - self._started, 3)
        return {"status": level, "uptime": uptime, "environment": host.environment}

    async def _instances(self) -> dict[str, int] | None:
        return await self._figures.instances() if self._figures is not None else None

    def _cause(self, document: dict[str, Any]) -> dict[str, Any]:
        return {**document, "text": self._redactor.text(document["text"])}

    def _running(self) -> Host:
        if self._host is None:
            raise starting()
        return self._host

    def _watching(self) -> Host:
        """Return the host, where alerts are evaluated.

        :raises ProblemError: 503 where they are not.
        """
        host = self._running()
        if not self._alerts.active:
            detail = "Alerts are not evaluated here; BEDPLATE_ALERTS__ENABLED says whether they should be."
            raise ProblemError(Problem(status=503, detail=detail))
        return host
