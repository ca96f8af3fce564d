"""What stands in the way of a cutover, what it will cost, and how to mend it; nothing is touched."""

from bedplate.database.cutover.preflight.looking import preflight
from bedplate.database.cutover.preflight.report import Estimate, Finding, Preflight

__all__ = ["Estimate", "Finding", "Preflight", "preflight"]
