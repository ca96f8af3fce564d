"""Prometheus' HTTP API: a service answers it from its own samples, and asks a Prometheus that knows the whole fleet."""
