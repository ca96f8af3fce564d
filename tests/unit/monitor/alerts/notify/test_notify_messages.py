"""What people read."""

from __future__ import annotations

from dataclasses import replace

from bedplate.clock import duration
from bedplate.monitor.alerts.notify.links import links_to
from bedplate.monitor.alerts.notify.message import compose, excerpt, identity
from bedplate.monitor.alerts.notify.message import test_message as trial
from tests.unit.monitor.alerts.notify.telling import START, alert, notice

LINKS = {"runbook": "https://ops.example/runbook", "dashboard": "https://ops.example/cache", "nothing": ""}


def test_a_message_says_what_is_wrong_since_when_how_bad_and_what_to_do() -> None:
    message = compose(notice(), "firing", START + 125, links=lambda _: LINKS)
    assert message.title == "[warning] CacheHitRateLow on ledger"
    assert message.severity == "warning"
    assert message.text == (
        "Reports are slow: only 42 % of them come from the cache.\n"
        "\n"
        "Firing since 2023-11-14 22:13:20 UTC, for 2m 5s.\n"
        "Value: 0.42 on 10.0.0.1:8000\n"
        "Severity: warning, from cache:reports\n"
        "Labels: cache=reports\n"
        "\n"
        "What it means. Too few hits.\n"
        "What to do. Look at `bedplate_cache_evictions_total`.\n"
        "Runbook: https://ops.example/runbook\n"
        "Dashboard: https://ops.example/cache\n"
        "To acknowledge it: bedplate alerts ack f1\n"
        "\n"
        f"Notice {message.id}"
    )


def test_an_end_says_how_long_it_was_and_does_not_tell_what_to_do() -> None:
    over = notice(alert(state="resolved", resolved_at=START + 3700), resolved_at=START + 3700)
    message = compose(over, "resolved", START + 4000)
    assert message.title == "[resolved] CacheHitRateLow on ledger"
    assert "Fired from 2023-11-14 22:13:20 UTC to 2023-11-14 23:15:00 UTC, for 1h 1m." in message.text
    assert "What to do" not in message.text
    late = compose(over, "late", START + 4000)
    assert late.title == "[warning, resolved] CacheHitRateLow on ledger"
    assert "It could not be told of before." in late.text


def test_a_repeat_says_so() -> None:
    assert compose(notice(), "repeat", START).title == "[warning, still firing] CacheHitRateLow on ledger"


def test_each_instance_has_its_value_and_very_many_are_cut() -> None:
    alerts = [alert(instance=f"host-{number}", value=number / 100) for number in range(12)]
    lines = compose(notice(*alerts), "firing", START).text.splitlines()
    values = [line for line in lines if line.startswith("Value")]
    assert values[0] == "Value: 0 on host-0"
    assert len(values) == 10
    assert "… and 2 instances more" in lines


def test_only_instances_that_fire_are_shown_while_one_does() -> None:
    over = alert(instance="b", state="resolved", resolved_at=START)
    lines = compose(notice(alert(instance="a"), over), "firing", START).text.splitlines()
    assert [line for line in lines if line.startswith("Value")] == ["Value: 0.42 on a"]


def test_an_id_is_of_the_news_and_not_of_who_tells_it() -> None:
    one = identity(notice(), "firing", 0)
    assert one == identity(notice(alert(value=0.1, instance="elsewhere")), "firing", 0)
    assert len({one, identity(notice(), "repeat", 1), identity(notice(), "repeat", 2)}) == 3
    over = notice(alert(state="resolved", resolved_at=START), resolved_at=START)
    others = {
        identity(over, "resolved", 0),
        identity(replace(notice(), episode=START + 1), "firing", 0),
        identity(replace(notice(), fingerprint="f2"), "firing", 0),
        identity(notice(alert(service="shop")), "firing", 0),
    }
    assert len(others | {one}) == 5


def test_an_excerpt_ends_where_a_paragraph_or_a_sentence_does() -> None:
    page = "**What it means.** One\nline. [Here](https://x).\n\nSecond."
    assert excerpt(page) == "What it means. One line. Here.\nSecond."
    assert excerpt(page, 40) == "What it means. One line. Here.\nSecond."
    assert excerpt(page, 32) == "What it means. One line. Here. …"
    assert excerpt("First sentence. " * 10, 40) == "First sentence. First sentence. …"
    assert excerpt("x" * 50, 40) == "x" * 40 + " …"
    assert excerpt("") == ""


def test_durations_are_said_in_two_units() -> None:
    said = [duration(each) for each in (-1, 0, 59.6, 61, 3600, 3661, 86400 * 2 + 5, 90061)]
    assert said == ["0s", "0s", "1m", "1m 1s", "1h", "1h 1m", "2d", "1d 1h"]


def test_a_trial_says_who_asked() -> None:
    message = trial("ledger", "ada", START)
    assert message.title == "[test] Notifications of ledger"
    assert message.text == "ada asked at 2023-11-14 22:13:20 UTC whether notifications of ledger arrive here. They do."


def test_links_lead_into_the_console_or_to_the_rendered_runbooks() -> None:
    assert links_to("")(alert()) == {}
    assert links_to("https://ops.example/ledger/")(alert()) == {
        "runbook": "https://ops.example/ledger/console/components/cache/reports",
        "dashboard": "https://ops.example/ledger/console/alerts",
    }
    assert links_to("", runbook_url="https://wiki.example/books/")(alert()) == {
        "runbook": "https://wiki.example/books/ledger.md#cachehitratelow"
    }
