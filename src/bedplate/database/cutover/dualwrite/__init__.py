"""Dual writes: triggers keep a table and its twin equal while rows are copied, and from then on until the switch.

After the switch the key log of the partitioned table takes their place, in this mode as in the other: writing the
legacy table, too, could fail where the partitioned one does not (a number that two organisations have is one too many
there), and would cost every write the more, while a log costs little and refuses nothing.
"""

from bedplate.database.cutover.dualwrite.indexing import index
from bedplate.database.cutover.dualwrite.steps import backfill, capture
from bedplate.database.cutover.dualwrite.tombstones import Tombstones
from bedplate.database.cutover.dualwrite.writes import DualWrites, Phase, dual_names, refusals, removed

__all__ = ["DualWrites", "Phase", "Tombstones", "backfill", "capture", "dual_names", "index", "refusals", "removed"]
