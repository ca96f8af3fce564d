"""Alerts: what they are once a service is known, how they come and go, who is told."""

from bedplate.monitor.alerts.component import Alerts
from bedplate.monitor.alerts.interfaces import RuleView
from bedplate.monitor.alerts.rules import Rule, rules
from bedplate.monitor.alerts.settings import AlertSettings

__all__ = ["AlertSettings", "Alerts", "Rule", "RuleView", "rules"]
