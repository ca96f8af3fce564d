"""Runbooks beside their components."""

from __future__ import annotations

from pathlib import Path

from bedplate.declarations import Runbook

__all__ = ["runbook"]


def runbook(module_file: str) -> Runbook:
    """Return the ``runbook.md`` that lies beside a component's module; for constants, read on import."""
    return Runbook(text=Path(module_file).with_name("runbook.md").read_text(encoding="utf-8"))
