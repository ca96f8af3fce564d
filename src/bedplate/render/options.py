"""The choices of whoever renders; alone, since the command shows them before it has to import what renders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bedplate.problems import BedplateError

__all__ = ["Options"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The choices of whoever renders.

    :param time_scale: a factor for every time in rules and panels; below 1 for tests and demos, where five minutes
        are too long.
    :param targets: for each service, or for ``""`` all others, the addresses that Prometheus scrapes; by default the
        service's container in Compose's network.
    :param token_file: the file with the scraper's token as Prometheus sees it; empty where none is asked for.
    :param grafana_url: where people reach Grafana. :param runbook_url: where they reach the folder ``runbooks``; by
        default runbooks are pages of Grafana.
    """

    time_scale: float = 1.0
    targets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    token_file: str = "/run/secrets/scrape-token"  # noqa: S105
    grafana_url: str = "http://localhost:3000"
    runbook_url: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.time_scale <= 100:
            raise BedplateError(f"The time scale {self.time_scale:g} is no factor.", "Give one above 0: 0.02, 1.")
