"""What the alert engine tells others: alerts as they are now, how they changed, and what people should hear of.

The engine answers with :class:`AlertView` values; whoever shows or sends alerts needs nothing else of it. Two ways
lead outwards:

- :class:`Transition` values go to subscribers at once, on the event loop: they wake a sender and move a page. They may
  be missed, by a restart for one, so nobody relies on them alone.
- :class:`Notice` values say what people should know by now, whoever noticed it: one for each fingerprint, over all
  instances of the service, with what has been sent of it already. A sender compares the two, sends the difference and
  notes what it sent. Doing so again after a crash sends at most what was not noted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from bedplate.component import Lease
from bedplate.declarations import Severity

__all__ = [
    "Acknowledgement",
    "AlertState",
    "AlertView",
    "Matcher",
    "Notice",
    "NoticeStatus",
    "Notices",
    "Sent",
    "Silence",
    "Transition",
]

AlertState = Literal["inactive", "pending", "firing", "resolved"]
NoticeStatus = Literal["firing", "resolved"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """Somebody has seen the alert and looks after it; it ends when the alert is resolved.

    :ivar at: Unix seconds.
    """

    actor: str
    note: str
    at: float


@dataclass(frozen=True, slots=True)
class Matcher:
    """A condition on one label, as Alertmanager has it; a label that is not there counts as empty.

    :ivar operator: ``=``, ``!=``, ``=~`` or ``!~``; patterns match the whole value.
    """

    label: str
    operator: Literal["=", "!=", "=~", "!~"]
    value: str

    def __str__(self) -> str:
        value = self.value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
        return f'{self.label}{self.operator}"{value}"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Alerts that all of these conditions match are not told of between two moments.

    :ivar starts: Unix seconds. :ivar ends: Unix seconds, the moment itself excluded.
    """

    id: str
    matchers: tuple[Matcher, ...]
    starts: float
    ends: float
    actor: str
    comment: str
    created: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertView:
    """One alert: a rule and a label set for which its expression holds, or held a moment ago.

    Times are Unix seconds.

    :ivar key: tells it from every other alert of the service, instances apart; an address may hold it.
    :ivar fingerprint: the same for the same alert on every instance: the labels without ``instance`` make it.
    :ivar labels: those of the series and of the rule, ``alertname`` among them; as Prometheus would have them.
    :ivar instance: the instance whose samples show it; empty when the whole fleet's do.
    :ivar summary: with labels and value filled in.
    :ivar value: of the last evaluation for which the condition held; at a resolved alert the last one.
    :ivar since: when the condition began to hold.
    :ivar fired_at: when it began to fire, None while it is pending. :ivar resolved_at: when it ended, if it has.
    :ivar keeps_firing_since: since when the condition no longer holds although it still fires, None otherwise.
    :ivar silenced_by: ids of the silences that match it now.
    :ivar because: the key of the alert that explains this one, if one does.
    :ivar section: what the runbook says of it, in Markdown.
    """

    key: str
    fingerprint: str
    name: str
    service: str
    source: str
    group: str
    severity: Severity
    state: AlertState
    labels: Mapping[str, str]
    instance: str = ""
    summary: str
    value: float
    since: float
    fired_at: float | None = None
    resolved_at: float | None = None
    keeps_firing_since: float | None = None
    acknowledged: Acknowledgement | None = None
    silenced_by: tuple[str, ...] = ()
    because: str = ""
    section: str = field(default="", repr=False)

    @property
    def silenced(self) -> bool:
        """Whether a silence matches it now."""
        return bool(self.silenced_by)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """An alert that became another one.

    :ivar before: its state before; ``inactive`` when there was none. ``alert.state`` is the new one; an alert that was
        pending and never fired goes back to ``inactive``, which is told as well.
    :ivar at: Unix seconds, the time of the evaluation.
    """

    alert: AlertView
    before: AlertState
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What one channel was told last of one fingerprint.

    :ivar episode: which of its firings that was, :attr:`Notice.episode`.
    :ivar at: when it was delivered, Unix seconds. :ivar times: how often in this episode and status.
    """

    channel: str
    status: NoticeStatus
    episode: float
    at: float
    times: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """An alert that people should hear of, over all instances of the service: one for each fingerprint.

    It is firing while any instance's alert fires, and resolved once none does. Pending alerts make no notice. A
    resolved one stays for as long as resolved alerts are kept (``resolved_retention``).

    :ivar episode: when this firing began on the first of the instances, Unix seconds; it tells one firing from the
        next.
    :ivar alerts: the alerts of the instances, the ones that fire first, then by instance; at least one.
    :ivar resolved_at: when the last of them ended; None while one fires.
    :ivar sent: by channel, what it was told last; of an earlier episode perhaps.
    """

    fingerprint: str
    status: NoticeStatus
    episode: float
    alerts: tuple[AlertView, ...]
    resolved_at: float | None = None
    sent: Mapping[str, Sent] = field(default_factory=dict)

    @property
    def lead(self) -> AlertView:
        """The alert that stands for all of them in a text."""
        return self.alerts[0]

    @property
    def silenced(self) -> bool:
        """Whether a silence matches every alert of it."""
        return all(alert.silenced for alert in self.alerts)

    @property
    def explained(self) -> bool:
        """Whether each alert of it that fires, or that did, follows from another one, of which people are told."""
        firing = [alert for alert in self.alerts if alert.state == "firing"]
        return all(alert.because for alert in firing or self.alerts)

    @property
    def acknowledged(self) -> Acknowledgement | None:
        """Who looks after it; its repeats are not needed then."""
        return self.lead.acknowledged


class Notices(Protocol):
    """What a sender of notifications asks of the engine; :class:`~bedplate.monitor.alerts.component.Alerts` does it."""

    def subscribe(self, callback: Callable[[Transition], None]) -> Callable[[], None]:
        """Call back at every transition, on the event loop, without blocking; returns what ends that."""
        ...

    async def notices(self) -> Sequence[Notice]:
        """Return what people should know of now, by severity and then by age.

        While the database is away it is what this process knows by itself, deliveries included: told twice by two
        instances is better than not at all.
        """
        ...

    async def note_sent(self, notice: Notice, channel: str) -> None:
        """Note that a channel was told of a notice; kept in memory until the database takes it."""
        ...

    def sending(self) -> Lease:
        """Return the lease that only one of all instances holds: who has it sends.

        While the database is away, each instance holds it for itself.
        """
        ...
