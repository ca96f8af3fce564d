"""Replicas: reading from servers that follow the primary, without reading the past."""
