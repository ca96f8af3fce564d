"""Ledger's API."""

from __future__ import annotations

from ledger.api.app import create_app
from ledger.api.parts import Parts

__all__ = ["Parts", "create_app"]
