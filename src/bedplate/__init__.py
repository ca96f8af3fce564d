"""Bedplate: the production layer for Python back-end services that handle money.

A component declares itself once; metrics, health, alerts, dashboards, checks and docs are derived. Start reading at
:mod:`bedplate.component`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bedplate.component import Component, Host, Spec
    from bedplate.database import Database, RowLease
    from bedplate.declarations import (
        SLO,
        Action,
        Actor,
        Alert,
        AlertGroup,
        Check,
        Dashboard,
        Middleware,
        Migrations,
        Panel,
        Probe,
        Routes,
        Runbook,
        Series,
        Threshold,
        Variable,
        Verdict,
    )
    from bedplate.degradation import Degradation
    from bedplate.metric import Counter, Gauge, Histogram, Summary
    from bedplate.problems import BedplateError, Problem, Refusal
    from bedplate.service import HostLease, Process, Service
    from bedplate.settings import Reloadable, Secret, Section, Settings
    from bedplate.state.limits import Limit, RateLimit
    from bedplate.telemetry.context import bind_context
    from bedplate.telemetry.logs import event, get_logger
    from bedplate.telemetry.metrics.windows import Window
    from bedplate.telemetry.traces import span, traced

__all__ = [
    "SLO",
    "Action",
    "Actor",
    "Alert",
    "AlertGroup",
    "BedplateError",
    "Check",
    "Component",
    "Counter",
    "Dashboard",
    "Database",
    "Degradation",
    "Gauge",
    "Histogram",
    "Host",
    "HostLease",
    "Limit",
    "Middleware",
    "Migrations",
    "Panel",
    "Probe",
    "Problem",
    "Process",
    "RateLimit",
    "Refusal",
    "Reloadable",
    "Routes",
    "RowLease",
    "Runbook",
    "Secret",
    "Section",
    "Series",
    "Service",
    "Settings",
    "Spec",
    "Summary",
    "Threshold",
    "Variable",
    "Verdict",
    "Window",
    "bind_context",
    "event",
    "get_logger",
    "span",
    "traced",
]

#: Where names live. They are looked up when first used: a script that only counts need not import a web server.
_HOMES = {
    "bedplate.component": ("Component", "Host", "Spec"),
    "bedplate.declarations": (
        "SLO", "Action", "Actor", "Alert", "AlertGroup", "Check", "Dashboard", "Middleware", "Migrations",
        "Panel", "Probe", "Routes", "Runbook", "Series", "Threshold", "Variable", "Verdict",
    ),
    "bedplate.database": ("Database", "RowLease"),
    "bedplate.degradation": ("Degradation",),
    "bedplate.metric": ("Counter", "Gauge", "Histogram", "Summary"),
    "bedplate.problems": ("BedplateError", "Problem", "Refusal"),
    "bedplate.service": ("HostLease", "Process", "Service"),
    "bedplate.settings": ("Reloadable", "Secret", "Section", "Settings"),
    "bedplate.state.limits": ("Limit", "RateLimit"),
    "bedplate.telemetry.context": ("bind_context",),
    "bedplate.telemetry.logs": ("event", "get_logger"),
    "bedplate.telemetry.metrics.windows": ("Window",),
    "bedplate.telemetry.traces": ("span", "traced"),
}  # fmt: skip
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'bedplate' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME_OF[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
