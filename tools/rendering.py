"""The rendered files of the services, and every reason why one of them may not start.

``python -m tools.rendering`` writes ``deploy/``; ``python -m tools`` compares it with what components declare. A metric
that was renamed where it is declared but not where it is used is found here: a service that uses it is refused.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from bedplate.cli.render import subjects_of
from bedplate.problems import BedplateError
from bedplate.render import compare, render, write
from bedplate.service import Service
from bedplate.settings import Sources
from ledger import service as ledger
from ledger.settings import LedgerSettings
from synfinance import service as synfinance
from synfinance.settings import SynFinanceSettings
from tools.finding import ROOT, Finding
from tradesense import service as tradesense
from tradesense.settings import TradeSenseSettings

__all__ = ["FOLDER", "check", "deployed", "drift", "refused"]

FOLDER = ROOT / "deploy"


def deployed() -> dict[str, Service]:
    """Return the services that ``deploy/`` runs by their target, built from defaults and not from this machine."""
    with SynFinanceSettings.collecting(Sources.none()) as of_synfinance:
        found = {"synfinance.service:build": synfinance.build(of_synfinance)}
    with TradeSenseSettings.collecting(Sources.none()) as of_tradesense:
        found["tradesense.service:build"] = tradesense.build(of_tradesense)
    with LedgerSettings.collecting(Sources.none()) as of_ledger:
        return {**found, "ledger.service:build": ledger.build(of_ledger)}


def files(services: dict[str, Service]) -> dict[str, str]:
    """Return every rendered file of the services."""
    return render([one for target, service in services.items() for one in subjects_of(service, target, FOLDER, ROOT)])


def check() -> list[Finding]:
    """Return what is wrong with the services as they are declared, or else how ``deploy/`` differs from that."""
    services = deployed()
    found = list(refused(services))
    return found or list(drift(services))


def refused(services: dict[str, Service]) -> Iterator[Finding]:
    """Yield every reason why a service may not start."""
    for target, service in services.items():
        for refusal in service.refusals():
            yield Finding(_file(target), 1, f"{service.name} may not start: {refusal}")


def drift(services: dict[str, Service], folder: Path = FOLDER) -> Iterator[Finding]:
    """Yield every file that is not what would be rendered."""
    try:
        differences = compare(files(services), folder)
    except BedplateError as error:
        yield Finding("deploy", 1, f"cannot be rendered: {error}")
        return
    for difference in differences:
        yield Finding(
            f"{folder.name}/{difference.path}",
            1,
            f"is not what components declare ({difference.kind}). Run: make render",
        )


def _file(target: str) -> str:
    module = sys.modules[target.partition(":")[0]]
    return Path(module.__file__ or "").relative_to(ROOT).as_posix()


def main(arguments: Sequence[str]) -> int:
    """Write the files; return the exit code."""
    if arguments:
        print("usage: python -m tools.rendering", file=sys.stderr)
        return 2
    services = deployed()
    faults = _print(refused(services))
    if faults:
        return 1
    changes = write(files(services), FOLDER)
    for change in changes:
        print(f"deploy/{change.path}: {change.kind}")
    print(f"deploy: {len(changes)} files changed")
    return 0


def _print(findings: Iterable[Finding]) -> int:
    count = 0
    for finding in findings:
        print(finding, file=sys.stderr)
        count += 1
    return count


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
