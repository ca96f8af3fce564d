"""python-json-logger as its quick start sets it up: a formatter on a stream handler."""

from __future__ import annotations

import logging
import sys

from pythonjsonlogger.core import BaseJsonFormatter
from pythonjsonlogger.json import JsonFormatter

__all__ = ["json_logger"]


def json_logger(fields: str, formatter: type[BaseJsonFormatter] = JsonFormatter) -> logging.Logger:
    """Return a logger whose records have these fields, in the syntax of :mod:`logging`, and any extra ones."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter(fields))
    logger = logging.getLogger("access")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.handlers[:] = [handler]
    return logger
