"""Bedplate's services in one process, with live traffic: ``python -m demo --port 8000``."""

from __future__ import annotations
