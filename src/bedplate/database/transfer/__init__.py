"""Moving all records between SQLite and PostgreSQL, checked value by value and proven equal."""

from bedplate.database.transfer.comparing import Compared
from bedplate.database.transfer.errors import DifferenceError, Fault, FaultsError, TransferError, TransferRefusedError
from bedplate.database.transfer.report import Plan, Progress, Report
from bedplate.database.transfer.transfer import Transfer

__all__ = [
    "Compared",
    "DifferenceError",
    "Fault",
    "FaultsError",
    "Plan",
    "Progress",
    "Report",
    "Transfer",
    "TransferError",
    "TransferRefusedError",
]
