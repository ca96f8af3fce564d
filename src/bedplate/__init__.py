"""Bedplate: the production layer for Python back-end services that handle money."""
