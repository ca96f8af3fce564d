"""Targets as people write them down, and that nobody else reads them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bedplate.monitor.alerts.notify import AlertingSettings, Notifier, NotifySettings
from bedplate.settings import Settings, SettingsError, Sources, masked
from tests.unit.monitor.alerts.notify.telling import Engine

SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#ops"
MAIL = "mailtos://user:hunter2@example.com?to=a@b.example,c@d.example"


def read(urls: str) -> AlertingSettings:
    sources = Sources(environ={"BEDPLATE_ALERTS__NOTIFY_URLS": urls})
    return Settings(environment="test", _sources=sources).section(AlertingSettings, "alerts")


def shown(settings: AlertingSettings) -> list[tuple[str, str]]:
    return [(target.least, target.url) for target in settings.notify_urls]


@pytest.mark.parametrize("between", [" ", "\n", ", ", "\n# a comment\n"])
def test_targets_stand_one_beside_the_other(between: str) -> None:
    assert shown(read(f"{SLACK}{between}critical={MAIL}")) == [("info", SLACK), ("critical", MAIL)]


def test_targets_may_be_a_json_list() -> None:
    assert shown(read(json.dumps([SLACK, f"warning={MAIL}"]))) == [("info", SLACK), ("warning", MAIL)]


@pytest.mark.parametrize("urls", ["slack:/T1JJ3T3L2", "fatal=slack://T1JJ3T3L2/b/c", '["nothing"]'])
def test_what_is_no_target_is_refused_without_repeating_it(urls: str) -> None:
    with pytest.raises(SettingsError, match="BEDPLATE_ALERTS__NOTIFY_URLS") as raised:
        read(urls)
    assert "T1JJ3T3L2" not in str(raised.value)


def test_targets_are_never_shown() -> None:
    sources = Sources(
        environ={
            "BEDPLATE_ALERTS__NOTIFY_URLS": f"{SLACK} {MAIL}",
            "BEDPLATE_ALERTS__HEARTBEAT_URL": "https://hc.example/ping/3f2a9c1e-7b6d-4f0e",
            "ALERTMANAGER_URL": "http://me:pa55word@alertmanager:9093,http://alertmanager-2:9093",
        }
    )
    settings = Settings(environment="test", _sources=sources)
    section = settings.section(AlertingSettings, "alerts")
    texts = [repr(section), str(masked(settings)), section.model_dump_json(), repr(section.notify_urls[0])]
    for text in texts:
        for secret in ("T1JJ3T3L2", "hunter2", "b.example", "3f2a9c1e", "pa55word"):
            assert secret not in text
    assert repr(section.notify_urls[0]) == "Target('info=slack://**********')"
    assert [url.host for url in section.alertmanager_urls] == ["alertmanager", "alertmanager-2"]


def test_secrets_are_hidden_where_they_stand_alone_and_words_are_not() -> None:
    settings = NotifySettings(
        notify_urls=(SLACK, MAIL, "tgram://123456:ABC-DEF1234ghIkl/42", "json://ops1.example/services")
    )
    hidden = {text for target in settings.notify_urls for text in target.hidden()}
    assert {"T1JJ3T3L2", "TIiajkdnlazkcOXrIdevi7FQ", "hunter2", "ABC-DEF1234ghIkl"} <= hidden
    assert not {"ops", "services", "ops1.example", "example.com", "slack"} & hidden


def test_each_part_has_its_own_settings() -> None:
    settings = AlertingSettings(notify_urls=(SLACK,), time_scale=0.5, notify_repeat="1h")  # type: ignore[arg-type]
    assert settings.engine.time_scale == 0.5
    assert not hasattr(settings.engine, "notify_urls")
    assert settings.notifier.notify_repeat == 3600
    assert settings.notifier.notify_urls[0].url == SLACK


def refusals(*urls: str) -> list[str]:
    settings = NotifySettings(notify_urls=urls)  # type: ignore[arg-type]
    return [str(refusal) for refusal in Notifier(settings, alerts=Engine()).refusals("production", {})]


def test_a_target_that_apprise_does_not_know_is_refused_by_its_number(caplog: pytest.LogCaptureFixture) -> None:
    assert refusals(SLACK, MAIL) == []
    (refusal,) = refusals(SLACK, "nonsense://s3cretT0ken")
    assert "entry 2 of the targets, nonsense://…, is no URL that Apprise can use" in refusal
    assert "s3cretT0ken" not in refusal + caplog.text


def test_without_apprise_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "apprise", None)
    (refusal,) = refusals(SLACK)
    assert "pip install 'bedplate[notify]'" in refusal
    assert refusals() == []


def test_channels_are_called_by_their_schemes() -> None:
    settings: Any = NotifySettings(notify_urls=(SLACK, MAIL, SLACK), alertmanager_urls=("http://a", "http://b"))  # type: ignore[arg-type]
    names = Notifier(settings, alerts=Engine()).channels
    assert names == ("slack", "mailtos", "slack-2", "alertmanager", "alertmanager-2")
