"""Checks of a running service: derived from declarations, run in the process or from outside."""

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
