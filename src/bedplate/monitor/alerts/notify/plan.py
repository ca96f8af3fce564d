"""What a channel should be told of a notice; a pure function of what it was told before."""

from __future__ import annotations

from dataclasses import dataclass

from bedplate.monitor.alerts.notices import Notice
from bedplate.monitor.alerts.notify.message import Kind

__all__ = ["Owed", "owed"]


@dataclass(frozen=True, slots=True)
class Owed:
    """What a channel was not told of yet.

    :ivar kind: what kind of news it is; None for none that is worth a message, only a note.
    :ivar times: how often it was told in this episode and status before.
    """

    kind: Kind | None
    times: int = 0


def owed(
    notice: Notice, channel: str, now: float, repeat: float, *, tried: bool = False, known_since: float | None = None
) -> Owed | None:
    """Return what a channel is still to be told of a notice, None when it is told.

    - What fires is told once, and again every ``repeat`` seconds unless somebody acknowledged it. What is silenced
      waits for the silence to end, what another alert explains for that one to end.
    - Who was told that it fires is told that it does not any more, silenced or not: they wait for it.
    - A firing that was over before the channel could be told is told late, in one message; but not one that was
      silenced or explained, nor one from before the channel was there.

    :param repeat: seconds. :param tried: whether somebody tried to tell this channel of this firing.
    :param known_since: since when the channel is known to be there, in Unix seconds; None for always.
    """
    last = notice.sent.get(channel)
    told = last is not None and abs(last.episode - notice.episode) < 1e-3
    if notice.status == "firing":
        if notice.silenced or notice.explained:
            return None
        if last is None or not told:
            return Owed("firing")
        if notice.acknowledged is None and now - last.at >= repeat:
            return Owed("repeat", last.times)
        return None
    if last is not None and last.status == "firing":
        return Owed("resolved")
    if told:
        return None
    ended = notice.resolved_at if notice.resolved_at is not None else now
    if notice.silenced or notice.explained or not (tried or known_since is None or ended >= known_since):
        return Owed(None)
    return Owed("late")
