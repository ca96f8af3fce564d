"""Logs: structured, redacted JSON lines from everything that logs in the process."""

from bedplate.telemetry.logs.component import Logs
from bedplate.telemetry.logs.events import Event, event
from bedplate.telemetry.logs.logger import EventLogger, get_logger
from bedplate.telemetry.logs.settings import LogSettings
from bedplate.telemetry.logs.tail import LogTail
from bedplate.telemetry.logs.writer import Writer

__all__ = ["Event", "EventLogger", "LogSettings", "LogTail", "Logs", "Writer", "event", "get_logger"]
