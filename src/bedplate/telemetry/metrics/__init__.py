"""Metrics: cells in shared memory, bound children, merging over processes, exposition."""
