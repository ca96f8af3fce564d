"""Checks of a running service: derived from declarations, run in the process or from outside."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bedplate.monitor.checks.component import Checks
    from bedplate.monitor.checks.derived import derived_checks
    from bedplate.monitor.checks.items import Item, Listing, Value, in_suite, item_of, listing_of
    from bedplate.monitor.checks.judging import Outcome, Reply, Result, judged
    from bedplate.monitor.checks.running import Ask, Question, Report, Runner

__all__ = [
    "Ask",
    "Checks",
    "Item",
    "Listing",
    "Outcome",
    "Question",
    "Reply",
    "Report",
    "Result",
    "Runner",
    "Value",
    "derived_checks",
    "in_suite",
    "item_of",
    "judged",
    "listing_of",
]

#: Where names live. They are looked up when first used: who checks from outside need not import what a service needs.
_HOMES = {
    "Ask": "running",
    "Checks": "component",
    "Item": "items",
    "Listing": "items",
    "Outcome": "judging",
    "Question": "running",
    "Reply": "judging",
    "Report": "running",
    "Result": "judging",
    "Runner": "running",
    "Value": "items",
    "derived_checks": "derived",
    "in_suite": "items",
    "item_of": "items",
    "judged": "judging",
    "listing_of": "items",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value
