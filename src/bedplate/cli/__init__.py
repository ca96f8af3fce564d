"""The ``bedplate`` command."""

from bedplate.cli.main import app, main

__all__ = ["app", "main"]
