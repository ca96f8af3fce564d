"""What a component does while its backend is away, said once.

What a person is told of it follows from there: a :class:`~bedplate.component.Spec` adds the gauge to its metrics, and
derives the alert, the panel and what every runbook says of such an alert.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from textwrap import fill
from typing import Literal

from bedplate.declarations import Alert, Panel, Runbook, Series
from bedplate.metric import Gauge
from bedplate.problems import DeclarationError

__all__ = ["Degradation"]

_GENERAL = """\
**Means:** a process does not reach its {backend}. {promise}

**Look at:** the {backend}, which the component names in `needs`: its own alert and runbook say what is wrong with it. \
If it is well, look at the one process: its network, or an event loop that stalls.

**Do:** bring the {backend} back; nothing has to be restarted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Degradation:
    """What a component does while its backend is away.

    :param policy: ``serve`` (from memory, marked stale), ``limit`` (locally), ``known`` (what is known, for a stated
        time), ``refuse`` (a clear 503, nothing lost), ``queue`` (kept in an outbox until it can be delivered).
    :param summary: the promise in one sentence, for the person on call; it is read after "The store is away."
    :param gauge: says of all processes whether each reaches the backend (1, merge ``min``) or one does without it (1,
        merge ``max``). :param alert: what fires after a minute of that, a warning where the component goes on for
        everybody, else critical. Its section in the component's runbook needs to say only what is particular.
    :param backend: what it is called: ``store``.
    :raises DeclarationError: when one of gauge and alert is given without the other, or the gauge merges otherwise.
    """

    policy: Literal["serve", "limit", "known", "refuse", "queue"]
    summary: str
    gauge: Gauge | None = None
    alert: str = ""
    backend: str = "store"

    def __post_init__(self) -> None:
        if (self.gauge is None) != (not self.alert):
            raise DeclarationError(
                f"A degradation has the gauge {self.gauge} and the alert {self.alert!r}.", "Give both or none."
            )
        if self.gauge is not None and self.gauge.merge not in ("min", "max"):
            raise DeclarationError(
                f"{self.gauge} merges by {self.gauge.merge}, and would not tell of one process among many.",
                "Let 1 be well and merge by min, or 1 be away and merge by max.",
            )

    @property
    def reason(self) -> str:
        """Why the component is degraded, without the promise."""
        return f"The {self.backend} is away."

    def value(self, available: bool) -> float:
        """Return what the gauge shows of this process."""
        return float(available == (self.gauge is None or self.gauge.merge == "min"))

    def alerts(self) -> tuple[Alert, ...]:
        """Return the alert that some process does not reach the backend."""
        if self.gauge is None:
            return ()
        well, away = self.value(available=True), self.value(available=False)
        series = str(self.gauge)
        return (
            Alert(
                name=self.alert,
                expr=f"{self.gauge.merge}({series}) == {away:g}",
                summary=f"{self.reason} {self.summary}",
                severity="warning" if self.policy in ("serve", "limit") else "critical",
                for_="1m",
                fires=(Series(series, f"{well:g} {away:g}x10"),),
                quiet=(Series(series, f"{well:g} {well:g} {away:g} {well:g}x20"),),
            ),
        )

    def panels(self, beside: tuple[Panel, ...]) -> tuple[Panel, ...]:
        """Return the panel that shows it, in the row of the component's other panels."""
        if self.gauge is None:
            return ()
        all_well = self.gauge.merge == "min"
        return (
            Panel(
                title=f"{self.backend.capitalize()} reached" if all_well else f"Without the {self.backend}",
                expr=f"{self.gauge.merge}({self.gauge})",
                kind="stat",
                row=beside[-1].row if beside else "",
                dashboard=beside[-1].dashboard if beside else None,
                summary="By every process?" if all_well else "Is any process?",
            ),
        )

    def runbook(self, written: Runbook | None) -> Runbook | None:
        """Return the runbook with what is true of every such alert before what is particular of this one."""
        if self.gauge is None:
            return written
        filled = _GENERAL.format(backend=self.backend, promise=self.summary)
        general = "\n\n".join(fill(part, 120, break_long_words=False) for part in filled.split("\n\n"))
        text = written.text if written is not None else ""
        if general in text:
            return written
        heading = re.compile(rf"^## +{self.alert} *$\n*", re.MULTILINE)
        if not heading.search(text):
            text = f"{text.rstrip()}\n\n## {self.alert}\n".lstrip()
        return Runbook(text=heading.sub(lambda _: f"## {self.alert}\n\n{general}\n\n", text, count=1))
