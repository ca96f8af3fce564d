"""Services: what they are made of, how they start, run and stop."""

from bedplate.service.lease import HostLease
from bedplate.service.process import Process
from bedplate.service.service import RunOptions, Service

__all__ = ["HostLease", "Process", "RunOptions", "Service"]
