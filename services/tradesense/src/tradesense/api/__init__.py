"""TradeSense's API."""

from __future__ import annotations

from tradesense.api.app import create_app
from tradesense.api.parts import Parts

__all__ = ["Parts", "create_app"]
