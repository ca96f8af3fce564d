"""The turning points of a cutover: switch and rollback, undo before a switch, and the end after it."""

from bedplate.database.cutover.switch.ending import Finalized, finalize, undo
from bedplate.database.cutover.switch.steps import rollback, switch

__all__ = ["Finalized", "finalize", "rollback", "switch", "undo"]
