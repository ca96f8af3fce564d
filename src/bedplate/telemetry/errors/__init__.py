"""Errors: exceptions in groups, with counts, an example, a trace and a log record; and Sentry."""

from bedplate.telemetry.errors.component import Errors
from bedplate.telemetry.errors.settings import ErrorSettings
from bedplate.telemetry.errors.store import ErrorStore

__all__ = ["ErrorSettings", "ErrorStore", "Errors"]
