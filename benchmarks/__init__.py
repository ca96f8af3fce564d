"""Bedplate beside its peers, measured in one run: ``python -m benchmarks [ID…] [--quick]``."""
