"""``python -m tools``: run the project's own checks; exit 1 when one finds a fault."""

from __future__ import annotations

import sys
from pathlib import Path

from tools import hygiene, layers, rendering
from tools.finding import ROOT, project_files


def main(root: Path = ROOT) -> int:
    """Print every finding; return the exit code."""
    files = list(project_files(root))
    findings = [*layers.check(root), *hygiene.addresses(root, files), *hygiene.lengths(root, files)]
    if root == ROOT:
        findings += rendering.check()
    findings.sort()
    for finding in findings:
        print(finding)
    faults = sum(not finding.warning for finding in findings)
    warnings = len(findings) - faults
    print(f"Own checks: {len(files)} files, {faults} faults, {warnings} warnings")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
