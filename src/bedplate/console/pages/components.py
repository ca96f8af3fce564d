"""Components: a page each, derived from what it declares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from bedplate.component import ComponentView, HasSections, Spec
from bedplate.console.interfaces import Sources
from bedplate.console.page import Page, missing
from bedplate.console.visit import Visit
from bedplate.declarations import AccessRole
from bedplate.monitor.auth.tokens import allows
from bedplate.monitor.management.views import actions_of, refusal_of
from bedplate.settings.attribute_docs import doc_of

__all__ = ["TABS", "pages", "parts_of", "view_of"]

TABS = ("overview", "panels", "declares", "configuration", "runbook", "actions")


def pages(sources: Sources) -> Sequence[Page]:
    """Return the pages."""
    return (
        Page("/components", "components", _list),
        Page("/components/{kind}/{name}", "component", _one),
        Page("/components/{kind}/{name}/{tab}", "component", _one),
    )


def view_of(visit: Visit) -> ComponentView | None:
    """Return the component that the address names."""
    key = (visit.request.path_params["kind"], visit.request.path_params["name"])
    return next((view for view in visit.site.sources.views() if view.spec.key == key), None)


async def _list(visit: Visit) -> Response:
    """List all components in start order, with a scorecard of what each declares and lacks."""
    sources = visit.site.sources
    firing = _firing(sources)
    rows = [
        {
            "view": view,
            "spec": view.spec,
            "probes": sources.health.probes(view.spec.label, history=False),
            "firing": firing.get(view.spec.label, 0),
            "actions": actions_of(view),
            "score": scores(view),
        }
        for view in sources.views()
    ]
    show = visit.query("show", "state")
    return visit.show("components.html", rows=rows, show=show, columns=[name for name, _ in _SCORES])


async def _one(visit: Visit) -> Response:
    """Show one component: how it is, what it measures, what it was set to, what to do about it."""
    view = view_of(visit)
    if view is None:
        return missing(visit, "There is no such component.", "It may have another name in this version of the service.")
    tab = visit.request.path_params.get("tab", "overview")
    if tab not in TABS:
        return missing(visit, "There is no such page of the component.")
    site, spec = visit.site, view.spec
    sources = site.sources
    window = site.window(visit)
    refs = list(site.charting.of(spec.label)) if tab in ("overview", "panels") else []
    shown = await site.charting.shown(refs if tab == "panels" else refs[:4], window, visit.now)
    alerts = [alert for alert in sources.alerts.current() if alert.source == spec.label] if sources.alerts else []
    return visit.show(
        "component.html",
        view=view,
        spec=spec,
        tab=tab,
        tabs=[name for name in TABS if name != "runbook" or spec.runbook is not None],
        path=f"/components/{spec.kind}/{spec.name}",
        window=window,
        shown=shown,
        more=max(0, len(refs) - len(shown)),
        probes=sources.health.probes(spec.label, history=True),
        alerts=alerts,
        rules=spec.alerts,
        sections=spec.runbook.sections() if spec.runbook else {},
        configuration=_configuration(sources, spec),
        actions=[(action, refusal_of(action)) for action in actions_of(view)],
        needed_by=[one.spec for one in sources.views() if any(need is view.component for need in one.spec.needs)],
        reason=sources.redactor.text(view.reason),
        parts=_parts(visit, view) if tab == "overview" and isinstance(view.component, HasSections) else None,
        tasks=[(task, sources.redactor.text(task.last_error)) for task in view.tasks],
        scores=list(zip([name for name, _ in _SCORES], scores(view), strict=True)),
    )


def _configuration(sources: Sources, spec: Spec) -> list[tuple[str, str, str]]:
    """Return the settings of a component: name, value, what it is for; secrets masked twice."""
    if spec.settings is None:
        return []
    values: Mapping[str, Any] = sources.redactor.mapping(spec.settings.model_dump(mode="json"))
    model = type(spec.settings)
    return [
        (
            name,
            str(value) if value not in (None, "") else "–",
            doc_of(model, name),
        )
        for name, value in values.items()
    ]


def _parts(visit: Visit, view: ComponentView) -> list[dict[str, Any]]:
    assert visit.session is not None
    return parts_of(visit.site.sources, view, visit.session.role)


def parts_of(sources: Sources, view: ComponentView, role: AccessRole) -> list[dict[str, Any]]:
    """Return what a component shows besides, with those of its buttons that somebody of a role may press now."""
    if not isinstance(view.component, HasSections):
        return []
    redactor = sources.redactor
    offered = {
        action.name: action for action in actions_of(view) if allows(role, action.role) and refusal_of(action) is None
    }
    return [
        {
            "section": section,
            "moments": [(moment, redactor.text(moment.detail)) for moment in section.moments],
            "summary": redactor.text(section.summary),
            "buttons": [offered[name] for name in section.actions if name in offered],
        }
        for section in view.component.sections()
    ]


def _firing(sources: Sources) -> dict[str, int]:
    found: dict[str, int] = {}
    for alert in sources.alerts.current(resolved=False) if sources.alerts is not None else ():
        if alert.state == "firing":
            found[alert.source] = found.get(alert.source, 0) + 1
    return found


def scores(view: ComponentView) -> list[tuple[str, str]]:
    """Return, by column of the scorecard, a tone and what is declared or lacks."""
    return [judge(view.spec) for _, judge in _SCORES]


def _counted(items: Sequence[Any], noun: str) -> tuple[str, str]:
    return ("good", f"{len(items)} {noun}{'' if len(items) == 1 else 's'}") if items else ("idle", f"no {noun}s")


def _told(spec: Spec) -> tuple[str, str]:
    if not spec.alerts:
        return ("good", "a runbook") if spec.runbook else ("idle", "no alert needs one")
    sections = spec.runbook.sections() if spec.runbook else {}
    lacking = [alert.name for alert in spec.alerts if not sections.get(alert.name)]
    return ("bad", f"no section on {', '.join(lacking)}") if lacking else ("good", "a section for each alert")


def _tried(spec: Spec) -> tuple[str, str]:
    if not spec.alerts:
        return "idle", "no alert to try"
    lacking = [alert.name for alert in spec.alerts if not alert.fires and not alert.external]
    return ("bad", f"never tried: {', '.join(lacking)}") if lacking else ("good", "each alert has series that fire it")


def _degrades(spec: Spec) -> tuple[str, str]:
    return ("good", spec.degradation.summary) if spec.degradation else ("idle", "says nothing of degradation")


_SCORES = (
    ("Metrics", lambda spec: _counted(spec.metrics, "metric")),
    ("Probes", lambda spec: _counted(spec.probes, "probe")),
    ("Alerts", lambda spec: _counted(spec.alerts, "alert")),
    ("Runbook", _told),
    ("Tried", _tried),
    ("Panels", lambda spec: _counted(spec.panels, "panel")),
    ("Checks", lambda spec: _counted(spec.checks, "check")),
    ("SLOs", lambda spec: _counted(spec.slos, "objective")),
    ("Degrades", _degrades),
)
