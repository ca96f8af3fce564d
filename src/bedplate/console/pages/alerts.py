"""Alerts: what fires and what it means, beside its runbook and the chart of its expression; what people said to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from starlette.responses import Response

from bedplate.console.charting import Charting
from bedplate.console.charts.data import Chart
from bedplate.console.interfaces import AlertDesk, Sources
from bedplate.console.page import Page, missing
from bedplate.console.visit import Visit
from bedplate.console.words import plural
from bedplate.declarations import Threshold
from bedplate.monitor.alerts.interfaces import RuleView
from bedplate.monitor.alerts.notices import AlertView
from bedplate.monitor.panels import bounds
from bedplate.monitor.replies import ProblemError
from bedplate.problems import BedplateError, Problem

__all__ = ["matchers_of", "pages", "standing", "summary"]

SHOWS = ("now", "rules", "silences", "history")
DURATIONS = (("1h", "an hour"), ("4h", "4 hours"), ("1d", "a day"), ("7d", "a week"))


def pages(sources: Sources) -> Sequence[Page]:
    """Return the pages."""
    return (
        Page("/alerts", "alerts", _list),
        Page("/alerts/{key}", "alert", _one),
        Page("/alerts/{key}/acknowledge", "alert-acknowledge", _acknowledge, role="operator", methods=("POST",)),
        Page("/silences", "silence-make", _silence, role="operator", methods=("POST",)),
        Page("/silences/{id}/end", "silence-end", _expire, role="operator", methods=("POST",)),
        Page("/rules/{name}", "rule", _rule),
    )


async def _list(visit: Visit) -> Response:
    """List what fires, what is pending and what was resolved lately; or rules, silences, the past."""
    desk = visit.site.sources.alerts
    show = visit.query("show", "now")
    if show not in SHOWS:
        show = "now"
    history = await desk.history(100, name=visit.query("name")) if desk is not None and show == "history" else ()
    rules = desk.rules() if desk is not None and show == "rules" else ()
    return visit.show(
        "alerts.html",
        show=show,
        shows=SHOWS,
        evaluated=desk is not None and desk.active,
        history=history,
        rules=rules,
        silences=desk.silences(ended=show == "silences") if desk is not None else (),
        **standing(desk),
    )


def standing(desk: AlertDesk | None) -> dict[str, Any]:
    """Return the alerts as they are now; the same for everybody who looks."""
    alerts = list(desk.current()) if desk is not None else []
    return {
        "firing": [alert for alert in alerts if alert.state == "firing"],
        "pending": [alert for alert in alerts if alert.state == "pending"],
        "resolved": [alert for alert in alerts if alert.state == "resolved"],
    }


def summary(desk: AlertDesk | None) -> tuple[int, str]:
    """Return how many alerts ask for attention, and how grave the gravest is; for the navigation."""
    loud = [one for one in (desk.current(resolved=False) if desk is not None else ()) if one.state == "firing"]
    loud = [one for one in loud if not one.silenced]
    tones = {"critical": "bad", "warning": "warn", "info": "info"}
    order = ("critical", "warning", "info")
    gravest = min((order.index(one.severity) for one in loud), default=2)
    return len(loud), tones[order[gravest]]


def matchers_of(alert: AlertView) -> str:
    """Return what a silence of just this alert has to match, one a line."""
    kept = {"alertname": alert.name} | {
        label: value
        for label, value in alert.labels.items()
        if label not in ("alertname", "severity", "source", "instance", "job")
    }
    return "\n".join(f'{label}="{_escaped(value)}"' for label, value in kept.items())


async def _one(visit: Visit) -> Response:
    """Show one alert: its chart, its runbook, its past, and what can be said to it."""
    desk = visit.site.sources.alerts
    key = visit.request.path_params["key"]
    alert = (
        next((one for one in desk.current() if key in (one.key, one.fingerprint)), None) if desk is not None else None
    )
    if desk is None or alert is None:
        return missing(
            visit,
            "This alert is neither pending nor firing, and was not resolved lately.",
            "The history of alerts tells when it was.",
        )
    rule = next((one for one in desk.rules() if one.rule.name == alert.name), None)
    return await _page(visit, alert=alert, rule=rule, section=alert.section, fault="")


async def _rule(visit: Visit) -> Response:
    """Show a rule that may not fire now: its chart, its runbook, its past."""
    desk = visit.site.sources.alerts
    name = visit.request.path_params["name"]
    rule = next((one for one in desk.rules() if one.rule.name == name), None) if desk is not None else None
    if rule is None:
        return missing(visit, f"No rule is called {name[:80]}.", "" if desk is not None and desk.active else _AWAY)
    return await _page(visit, alert=None, rule=rule, section=rule.rule.section, fault="")


_AWAY = "Alerts are not evaluated in this process."


async def _page(
    visit: Visit, *, alert: AlertView | None, rule: RuleView | None, section: str, fault: str, status: int = 200
) -> Response:
    site = visit.site
    desk = site.sources.alerts
    assert desk is not None
    name = alert.name if alert is not None else rule.rule.name if rule is not None else ""
    window = site.window(visit)
    charts = await _charts(site.charting, rule, window, visit.now) if rule is not None else []
    history = await desk.history(20, name=name, fingerprint=alert.fingerprint if alert is not None else "")
    spec = next(
        (view.spec for view in site.sources.views() if rule is not None and view.spec.label == rule.rule.source), None
    )
    return visit.show(
        "alert.html",
        status=status,
        alert=alert,
        rule=rule,
        name=name,
        spec=spec,
        section=section,
        window=window,
        charts=charts,
        history=history,
        others=[one for one in desk.current() if one.name == name and (alert is None or one.key != alert.key)],
        silences=[one for one in desk.silences() if alert is not None and one.id in alert.silenced_by],
        matchers=matchers_of(alert) if alert is not None else f'alertname="{name}"',
        durations=DURATIONS,
        fault=fault,
        path=f"/alerts/{alert.key}" if alert is not None else f"/rules/{name}",
    )


async def _charts(charting: Charting, rule: RuleView, window: str, now: float) -> list[tuple[str, Chart]]:
    """Return a chart of each side of the comparisons that make a rule fire, with the line that must not be crossed."""
    grid = charting.grid(window, now)
    try:
        found = bounds(rule.expr)
    except BedplateError:
        found = ()
    if not found:
        return [(rule.expr, await charting.chart([("", rule.expr)], grid))]
    charts = []
    for bound in found[:3]:
        line = Threshold(
            value=bound.value,
            severity=rule.rule.alert.severity,
            label="fires",
            above=bound.operator in (">", ">=", "=="),
        )
        unit = _unit(charting, bound.expr)
        chart = await charting.chart([("", bound.expr)], grid, unit=unit)
        charts.append((f"{bound.expr} {bound.operator} {bound.value:g}", replace(chart, thresholds=(line,))))
    return charts


def _unit(charting: Charting, expr: str) -> str:
    """Return the unit of a panel that shows nearly the same."""
    if "histogram_quantile" in expr and "seconds" in expr:
        return "s"
    return "bytes" if "_bytes" in expr and "/" not in expr else ""


async def _acknowledge(visit: Visit) -> Response:
    """Say that somebody looks after an alert."""
    fields = await visit.form()
    key = visit.request.path_params["key"]
    body = {"fingerprint": key, "note": fields.get("note", "")}
    return await _do(visit, "acknowledge", body, f"/alerts/{key}", "You look after it now.")


async def _silence(visit: Visit) -> Response:
    """Let nobody be told of some alerts for a while."""
    fields = await visit.form()
    lines = [line.strip() for line in fields.get("matchers", "").splitlines() if line.strip()]
    body = {"matchers": lines, "duration": fields.get("duration", "1h"), "comment": fields.get("comment", "")}
    back = fields.get("back", "")
    told = f"Nobody is told of what {plural(len(lines), 'condition')} match{'es' if len(lines) == 1 else ''}."
    return await _do(visit, "silence", body, back if back.startswith(("/alerts/", "/rules/")) else "/alerts", told)


async def _expire(visit: Visit) -> Response:
    """End a silence."""
    await visit.form()
    body = {"id": visit.request.path_params["id"]}
    return await _do(visit, "expire-silence", body, "/alerts?show=silences", "The silence has ended.")


async def _do(visit: Visit, name: str, body: Mapping[str, object], back: str, told: str) -> Response:
    sources = visit.site.sources
    assert visit.session is not None
    action = next((one for one in sources.alerts.actions() if one.name == name), None) if sources.alerts else None
    if action is None:
        raise ProblemError(Problem(status=409, detail=_AWAY))
    try:
        await sources.presses.press("alerts", action, visit.session.actor, dict(body))
    except ProblemError as error:
        visit.note(error.problem.detail or error.problem.title, "bad")
    else:
        visit.note(told)
    path, _, query = back.partition("?")
    return visit.go(path, **dict(pair.split("=", 1) for pair in query.split("&") if "=" in pair))


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
