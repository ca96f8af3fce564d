"""Moving live tables to partitions: the twin's layout, what stands in the way, and whether both are the same."""

from bedplate.database.cutover.asking import CutoverError, connected
from bedplate.database.cutover.keylog import KeyLog
from bedplate.database.cutover.layout import Layout, layout
from bedplate.database.cutover.likeness import unlike
from bedplate.database.cutover.machine.component import Cutover
from bedplate.database.cutover.machine.settings import CutoverSettings
from bedplate.database.cutover.parity import Comparison, Difference, Parity, Progress, compare
from bedplate.database.cutover.plan import Plan
from bedplate.database.cutover.preflight import Estimate, Finding, Preflight, preflight

__all__ = [
    "Comparison",
    "Cutover",
    "CutoverError",
    "CutoverSettings",
    "Difference",
    "Estimate",
    "Finding",
    "KeyLog",
    "Layout",
    "Parity",
    "Plan",
    "Preflight",
    "Progress",
    "compare",
    "connected",
    "layout",
    "preflight",
    "unlike",
]
