"""Who did what to a service, in a log whose every record carries the hash of the one before."""

from bedplate.monitor.audit.chain import GENESIS, Verification, verify
from bedplate.monitor.audit.component import Audit, AuditSettings
from bedplate.monitor.audit.log import AuditLog, files_of

__all__ = ["GENESIS", "Audit", "AuditLog", "AuditSettings", "Verification", "files_of", "verify"]
