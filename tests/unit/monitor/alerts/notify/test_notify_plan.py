"""What a channel is owed, by what it was told before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bedplate.monitor.alerts.notices import Acknowledgement, Notice, Sent
from bedplate.monitor.alerts.notify.plan import Owed, owed
from tests.unit.monitor.alerts.notify.telling import START, alert, notice

HOUR = 3600.0
RESOLVED = notice(alert(state="resolved", resolved_at=START + 60), resolved_at=START + 60)


def told(of: Notice, status: Any = "firing", at: float = START, times: int = 1, episode: float = START) -> Notice:
    return replace(of, sent={"slack": Sent(channel="slack", status=status, episode=episode, at=at, times=times)})


def what(of: Notice, now: float = START + 60, **options: Any) -> Owed | None:
    return owed(of, "slack", now, 4 * HOUR, **options)


def silenced(of: Notice) -> Notice:
    return replace(of, alerts=tuple(replace(each, silenced_by=("s1",)) for each in of.alerts))


def acknowledged(of: Notice) -> Notice:
    done = Acknowledgement(actor="ada", note="mine", at=START)
    return replace(of, alerts=tuple(replace(each, acknowledged=done) for each in of.alerts))


def test_what_fires_is_told_once_and_then_again_every_few_hours() -> None:
    assert what(notice()) == Owed("firing")
    assert what(told(notice())) is None
    assert what(told(notice()), START + 4 * HOUR) == Owed("repeat", 1)
    assert what(told(notice(), at=START + 4 * HOUR, times=2), START + 8 * HOUR) == Owed("repeat", 2)


def test_what_another_channel_was_told_does_not_count() -> None:
    of = replace(notice(), sent={"mailto": Sent(channel="mailto", status="firing", episode=START, at=START)})
    assert what(of) == Owed("firing")


def test_what_somebody_looks_after_is_not_repeated_but_its_end_is_told() -> None:
    assert what(acknowledged(notice())) == Owed("firing")
    assert what(acknowledged(told(notice())), START + 40 * HOUR) is None
    assert what(told(RESOLVED)) == Owed("resolved")


def test_what_is_silenced_waits_for_the_end_of_the_silence() -> None:
    assert what(silenced(notice())) is None
    assert what(silenced(told(notice())), START + 40 * HOUR) is None
    assert what(notice(), START + 50 * HOUR) == Owed("firing")
    assert what(silenced(told(RESOLVED))) == Owed("resolved")  # who was told of the beginning waits for the end


def test_an_end_is_told_once() -> None:
    assert what(told(RESOLVED, "resolved")) is None


def test_the_next_firing_is_news_again() -> None:
    again = replace(notice(), episode=START + HOUR)
    assert what(told(again, "resolved")) == Owed("firing")
    assert what(told(again, "firing")) == Owed("firing")
    # The channel heard of the first beginning, and of nothing since: it waits for an end.
    assert what(told(replace(RESOLVED, episode=START + 30), "firing")) == Owed("resolved")


def test_what_was_over_before_the_channel_listened_is_told_late() -> None:
    assert what(RESOLVED) == Owed("late")
    assert what(told(RESOLVED, "resolved", episode=START - HOUR)) == Owed("late")
    assert what(RESOLVED, tried=True, known_since=START + HOUR) == Owed("late")


@pytest.mark.parametrize("of", [silenced(RESOLVED), RESOLVED])
def test_what_was_silenced_or_was_over_before_the_channel_was_there_is_only_noted(of: Notice) -> None:
    assert what(of, known_since=START + HOUR) == Owed(None)
