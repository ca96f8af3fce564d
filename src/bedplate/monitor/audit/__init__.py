"""Who did what to a service, in a log whose every record carries the hash of the one before."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bedplate.monitor.audit.chain import GENESIS, Verification, verify
    from bedplate.monitor.audit.component import Audit, AuditSettings
    from bedplate.monitor.audit.log import AuditLog, files_of

__all__ = ["GENESIS", "Audit", "AuditLog", "AuditSettings", "Verification", "files_of", "verify"]

#: Where names live. They are looked up when first used: who only reads a log need not import what a service needs.
_HOMES = {
    "GENESIS": "chain",
    "Audit": "component",
    "AuditLog": "log",
    "AuditSettings": "component",
    "Verification": "chain",
    "files_of": "log",
    "verify": "chain",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value
