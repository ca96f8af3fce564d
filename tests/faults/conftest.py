"""What of the faults is run in `make faults` alone."""

from __future__ import annotations

from tests.endurance import WHOLE

#: A full disk is one that somebody has mounted, which not everybody may; the others want minutes to show anything.
collect_ignore = [] if WHOLE else ["test_cutover_clock.py", "test_cutover_disk.py", "test_cutover_traffic.py"]
