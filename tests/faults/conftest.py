"""What of the faults is run in `make faults` alone."""

from __future__ import annotations

from tests.endurance import WHOLE

#: A full disk is one that somebody has mounted, which not everybody may.
collect_ignore = [] if WHOLE else ["test_cutover_disk.py"]
