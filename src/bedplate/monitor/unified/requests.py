"""What may be asked of the unified view."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bedplate.declarations import Severity
from bedplate.monitor.alerts.notices import AlertView
from bedplate.monitor.management.requests import Page, Query, Since
from bedplate.monitor.replies import ProblemError, invalid

__all__ = ["Acknowledge", "AlertQuery", "SilenceQuery", "chosen_by", "read_body"]


class AlertQuery(Page):
    """Which alerts, and which changes of them."""

    severity: Severity | None = None
    state: Literal["pending", "firing", "resolved", "inactive"] | None = None
    name: str = ""
    source: str = ""
    fingerprint: str = ""
    since: Since = None


class SilenceQuery(Query):
    """Which silences."""

    expired: bool = False


class Acknowledge(BaseModel):
    """Which alert somebody looks after: by its fingerprint, or by its name where only one of that name is active."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    alert: str = Field(default="", max_length=200)
    fingerprint: str = Field(default="", max_length=100)
    note: str = Field(default="", max_length=2000)

    @model_validator(mode="after")
    def _names_one(self) -> Acknowledge:
        if not self.alert and not self.fingerprint:
            raise ValueError("say which alert: its fingerprint, or its name as alert")
        return self


def read_body(body: dict[str, object]) -> Acknowledge:
    """Return the body of an acknowledgement; :raises ProblemError: 422 with what is wrong."""
    try:
        return Acknowledge.model_validate(body)
    except ValidationError as error:
        raise ProblemError(invalid(error.errors(include_input=False, include_url=False))) from None


def chosen_by(query: AlertQuery) -> Callable[[AlertView], bool]:
    """Return what says whether an alert is one of those asked for."""

    def chosen(alert: AlertView) -> bool:
        return (
            (query.severity is None or alert.severity == query.severity)
            and (query.state is None or alert.state == query.state)
            and query.name in ("", alert.name)
            and query.source in ("", alert.source)
            and query.fingerprint in ("", alert.fingerprint, alert.key)
        )

    return chosen
