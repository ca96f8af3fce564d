"""Alerts: what they are once a service is known, how they come and go, who is told."""

from bedplate.monitor.alerts.rules import Rule, rules

__all__ = ["Rule", "rules"]
