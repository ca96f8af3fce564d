"""Actions: a form made from the parameters' model, a page that says what will be done, and the doing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from bedplate.component import ComponentView, HasSections
from bedplate.console.forms import Field, body_of, fields_of
from bedplate.console.interfaces import Sources
from bedplate.console.page import Page, missing
from bedplate.console.pages.components import view_of
from bedplate.console.visit import Visit
from bedplate.declarations import Action
from bedplate.monitor.management.views import actions_of, refusal_of
from bedplate.monitor.replies import ProblemError, plain
from bedplate.problems import Problem
from bedplate.telemetry.redaction import Redactor

__all__ = ["pages", "press"]

_PATH = "/components/{kind}/{name}/actions/{action}"


def pages(sources: Sources) -> Sequence[Page]:
    """Return the pages."""
    return (Page(_PATH, "action", _ask), Page(_PATH, "action-press", _send, methods=("POST",)))


async def _ask(visit: Visit) -> Response:
    """Ask for the parameters of an action."""
    found = _find(visit)
    if found is None:
        return missing(visit, "There is no such action.", "A component may offer others at another moment.")
    view, action = found
    if action.parameters is None and visit.may(action.role) and refusal_of(action) is None:
        return _review(visit, view, action, ())
    given = dict(visit.request.query_params.items())
    return _form(visit, view, action, fields_of(action.parameters, {**_defaults(action), **given} if given else None))


async def _send(visit: Visit) -> Response:
    """Say what will be done and ask to confirm; do it once that is confirmed."""
    found = _find(visit)
    if found is None:
        return missing(visit, "There is no such action.")
    view, action = found
    fields = await visit.form()
    assert visit.session is not None
    if not visit.may(action.role):
        await visit.site.sources.presses.record(view.spec.label, action.name, visit.session.actor, "denied", {})
        detail = f"You are signed in as {visit.session.role}; this needs {action.role}."
        raise ProblemError(Problem(status=403, detail=detail))
    step = fields.pop("step", "review")
    asked = [field for field in fields_of(action.parameters, fields) if field.kind != "secret"]
    if step == "change":
        return _form(visit, view, action, asked)
    if step != "do":
        lacking = {field.name: "Fill this in." for field in asked if field.required and not field.value.strip()}
        if lacking:
            return _form(visit, view, action, fields_of(action.parameters, fields, lacking), status=422)
        return _review(visit, view, action, asked)
    return await _do(visit, view, action, fields)


async def _do(visit: Visit, view: ComponentView, action: Action, fields: Mapping[str, str]) -> Response:
    try:
        result = await press(visit, view, action, fields)
    except ProblemError as error:
        problem = error.problem
        faults = {str(one["at"]).split(".")[0]: one["message"] for one in problem.extra.get("errors", ())}
        again = [field for field in fields_of(action.parameters, fields, faults) if field.kind != "secret"]
        general = "" if faults and all(field.name in faults for field in again if field.fault) else problem.detail
        return _form(visit, view, action, again, status=problem.status, fault=general or problem.detail)
    path = f"/components/{view.spec.kind}/{view.spec.name}"
    redactor = visit.site.sources.redactor
    shown = json.dumps(result, indent=2, ensure_ascii=False, default=plain) if result is not None else ""
    return visit.show(
        "action_done.html",
        view=view,
        action=action,
        path=path,
        follows=isinstance(view.component, HasSections),
        changes=_changes(result, redactor),
        result=redactor.text(shown),
    )


def _changes(result: Any, redactor: Redactor) -> list[tuple[str, str, str]] | None:
    """Return what an action changed, where it returned what it acts upon from before and after; None elsewhere."""
    if not (isinstance(result, Mapping) and result.keys() == {"before", "after"}):
        return None
    before, after = result["before"], result["after"]
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
        return None
    changed = [(name, before.get(name), now) for name, now in after.items() if before.get(name) != now]
    return [
        (redactor.text(str(name)), _said(name, then, redactor), _said(name, now, redactor))
        for name, then, now in changed
    ]


def _said(name: Any, value: Any, redactor: Redactor) -> str:
    # With its name, which tells whether it is a secret.
    (said,) = redactor.mapping({name: value}).values()
    if isinstance(said, bool):
        return "yes" if said else "no"
    return "–" if said in (None, "") else str(said)


async def press(visit: Visit, view: ComponentView, action: Action, fields: Mapping[str, str]) -> Any:
    """Do an action with what a form sent; :raises ProblemError: when it is not done."""
    assert visit.session is not None
    sources = visit.site.sources
    try:
        body = body_of(action.parameters, fields)
    except ValueError as error:
        name = str(error.args[0])
        detail = f"{name}: this is not JSON."
        extra = {"errors": [{"at": name, "message": "This is not JSON."}]}
        raise ProblemError(Problem(status=422, detail=detail, extra=extra)) from None
    return await sources.presses.press(view.spec.label, action, visit.session.actor, body)


def _review(visit: Visit, view: ComponentView, action: Action, asked: Sequence[Field]) -> Response:
    secrets = [field for field in fields_of(action.parameters) if field.kind == "secret"]
    path = f"/components/{view.spec.kind}/{view.spec.name}"
    refusal = refusal_of(action)
    return visit.show(
        "action_review.html", view=view, action=action, path=path, asked=asked, secrets=secrets, refusal=refusal
    )


def _form(
    visit: Visit, view: ComponentView, action: Action, fields: Sequence[Field], *, status: int = 200, fault: str = ""
) -> Response:
    path = f"/components/{view.spec.kind}/{view.spec.name}"
    return visit.show(
        "action.html",
        status=status,
        view=view,
        action=action,
        path=path,
        fields=[field for field in fields if field.kind != "secret"],
        has_secrets=any(field.kind == "secret" for field in fields_of(action.parameters)),
        refusal=refusal_of(action),
        fault=fault,
    )


def _find(visit: Visit) -> tuple[ComponentView, Action] | None:
    view = view_of(visit)
    if view is None:
        return None
    name = visit.request.path_params["action"]
    action = next((one for one in actions_of(view) if one.name == name), None)
    return (view, action) if action is not None else None


def _defaults(action: Action) -> dict[str, str]:
    return {field.name: field.value for field in fields_of(action.parameters)}
