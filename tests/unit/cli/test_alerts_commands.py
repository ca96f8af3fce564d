"""What ``bedplate alerts`` shows of what a service answers."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from typer.testing import CliRunner, Result

from bedplate.cli.main import app


def alert(**changes: Any) -> dict[str, Any]:
    values = {
        "fingerprint": "ab12",
        "name": "CacheHitRateLow",
        "severity": "critical",
        "state": "firing",
        "summary": "Reports [are] slow.",
        "value": 0.42,
        "since": time.time() - 3600,
        "fired_at": time.time() - 125,
        "acknowledged": None,
        "silenced_by": [],
    }
    return {**values, **changes}


class Desk(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.current: list[dict[str, Any]] = []
        self.items: list[dict[str, Any]] = []
        self.next: str | None = None
        self.asked: list[tuple[str, dict[str, list[str]], Any]] = []


class _Handler(BaseHTTPRequestHandler):
    server: Desk

    def log_message(self, *_: Any) -> None: ...

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((url.path, parse_qs(url.query), json.loads(body or b"null")))
        answer: Any = {"current": self.server.current, "items": self.server.items, "next": self.server.next}
        if url.path.endswith("acknowledge-alert"):
            answer = alert(acknowledged={"actor": "ada", "note": "", "at": 0})
        elif url.path.endswith("/actions/silence"):
            answer = {"result": {"id": "s1", **json.loads(body)}}
        elif url.path.endswith("/actions/expire-silence"):
            answer = {"result": json.loads(body)}
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_GET  # noqa: N815


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    server = Desk()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("PORT", str(server.server_port))
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["alerts", *arguments])


def test_nothing_is_said_to_be_nothing(desk: Desk) -> None:
    assert call("list").stdout == "No alert fires.\n"
    assert call("list", "--exit-code").exit_code == 0
    assert call("history").stdout == "No alert changed since 24h.\n"
    assert call("silences").stdout == "Nothing is silenced.\n"


def test_what_fires_is_listed_with_who_looks_after_it(desk: Desk) -> None:
    desk.current = [
        alert(acknowledged={"actor": "ada", "note": "", "at": 0}),
        alert(silenced_by=["s1"], fingerprint="cd34", value=None),
        alert(state="pending", fired_at=None, severity="info"),
    ]
    result = call("list", "--severity", "critical")
    first, second, third = result.stdout.splitlines()[1:]
    assert first.split() == "critical CacheHitRateLow firing, ada is on it 2m 5s 0.42 Reports [are] slow. ab12".split()
    assert "firing, silenced" in second and "NaN" in second and "cd34" in second
    assert "pending" in third and "1h" in third
    assert result.exit_code == 0
    assert desk.asked[0][:2] == ("/monitoring/unified/alerts", {"severity": ["critical"], "limit": ["1"]})


def test_on_a_narrow_terminal_a_summary_has_lines_of_its_own(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("FORCE_COLOR", "1"), ("NO_COLOR", "1"), ("TERM", "dumb"), ("COLUMNS", "80")):
        monkeypatch.setenv(name, value)
    long = "Two of three answers [are] slow, since the cache has forgotten what it knew: " + "and so on " * 5
    desk.current = [alert(summary=long.strip(), fingerprint="0123456789abcdef")]
    lines = call("list").stdout.splitlines()
    assert lines[0] == "critical  CacheHitRateLow  firing  2m 5s  0.42  0123456789abcdef"
    assert " ".join(line.strip() for line in lines[1:]) == long.strip()
    assert all(line.startswith("    ") and len(line) <= 80 for line in lines[1:])


@pytest.mark.parametrize(
    ("current", "status"),
    [([alert()], 1), ([alert(silenced_by=["s1"])], 0), ([alert(state="pending")], 0), ([], 0)],
)
def test_the_exit_status_says_whether_something_fires_when_it_is_asked_for(
    desk: Desk, current: list[dict[str, Any]], status: int
) -> None:
    desk.current = current
    assert call("list").exit_code == 0
    assert call("list", "--exit-code").exit_code == status
    told = call("list", "--exit-code", "--json")
    assert (told.exit_code, json.loads(told.stdout)["ok"]) == (status, status == 0)


def test_the_past_is_listed_and_how_to_see_more(desk: Desk) -> None:
    desk.items = [alert(at=1_700_000_000, before="firing", state="resolved")]
    desk.next = "cursor"
    lines = call("history", "--since", "2023-11-14T22:00", "--limit", "1").stdout.splitlines()
    assert "2023-11-14 22:13:20" in lines[1]
    assert "firing → resolved" in lines[1]
    assert lines[2] == "There are more; --limit 4 shows them."
    assert desk.asked[0][1] == {"since": ["1699999200.0"], "limit": ["1"]}


@pytest.mark.parametrize("since", ["yesterday", "20240101", ""])
def test_a_time_that_is_none_is_refused(desk: Desk, since: str) -> None:
    result = call("history", "--since", since)
    assert result.exit_code == 2
    assert "no time" in result.stderr or "not a duration" in result.stderr
    assert desk.asked == []


def test_a_name_and_a_fingerprint_are_told_apart(desk: Desk) -> None:
    assert call("ack", "CacheHitRateLow", "-m", "mine").stdout == "ada looks after CacheHitRateLow (ab12).\n"
    call("ack", "ab12", "--json")
    assert [body for _, _, body in desk.asked] == [
        {"alert": "CacheHitRateLow", "note": "mine"},
        {"fingerprint": "ab12", "note": ""},
    ]


def test_a_bare_word_is_the_name_of_an_alert(desk: Desk) -> None:
    result = call("silence", "CacheHitRateLow", "cache=~rep.*", "severity!=info", "--for", "30m", "-m", "why")
    assert result.stdout == 'Silence s1 of alertname="CacheHitRateLow", cache=~rep.*, severity!=info for 30m.\n'
    assert desk.asked[0][2] == {
        "matchers": ['alertname="CacheHitRateLow"', "cache=~rep.*", "severity!=info"],
        "duration": 1800.0,
        "comment": "why",
    }
    assert call("silence", "X", "--for", "soon").exit_code == 2


def test_several_silences_are_ended_at_once(desk: Desk) -> None:
    assert call("expire", "s1", "s2").stdout == "Silence s1 has ended.\nSilence s2 has ended.\n"


def test_another_service_and_prefix_can_be_asked(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://127.0.0.1:{desk.server_port}/ledger"
    monkeypatch.setenv("PORT", "1")
    assert call("list", "--url", url, "--prefix", "ops/").exit_code == 0
    assert desk.asked[0][0] == "/ledger/ops/unified/alerts"
    gone = call("list", "--json")
    assert gone.exit_code == 2
    assert json.loads(gone.stdout)["ok"] is False
