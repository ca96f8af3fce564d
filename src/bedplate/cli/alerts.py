"""``bedplate alerts``: what fires at a running service, and what people do about it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table

from bedplate.cli.client import Client, token_of
from bedplate.cli.output import EXIT_FAULTS, console, faults, print_json
from bedplate.clock import duration
from bedplate.declarations import seconds
from bedplate.problems import BedplateError

__all__ = ["alerts"]

alerts = typer.Typer(
    name="alerts",
    help="Show the alerts of a running service; acknowledge and silence them. The token is taken from AUTH_TOKEN.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Url = Annotated[
    str | None, typer.Option(help="Where the service is, https://host/ledger; by default here, at PORT or 8000.")
]
Prefix = Annotated[str, typer.Option(help="Of the management API.")]
Timeout = Annotated[float, typer.Option(min=0.1, help="Seconds that an answer may take.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Severity = Annotated[Literal["critical", "warning", "info"] | None, typer.Option(help="Only of this severity.")]
Name = Annotated[str | None, typer.Option(help="Only alerts of this name.")]
Source = Annotated[str | None, typer.Option(help="Only alerts of this component, such as cache:reports.")]

_PREFIX, _TIMEOUT = "/monitoring", 10.0
_WIDE = 400
_COLOURS = {"critical": "red", "warning": "yellow", "info": "blue"}


@dataclass(frozen=True, slots=True)
class Service:
    """A running service's management API."""

    client: Client
    prefix: str

    def get(self, path: str, **query: Any) -> Any:
        """Return what it answers."""
        return self.client.get(f"{self.prefix}/{path}", query)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Tell it something."""
        return self.client.post(f"{self.prefix}/{path}", body)

    def act(self, action: str, body: Mapping[str, Any]) -> Any:
        """Do one of the alert engine's actions and return its result."""
        return self.post(f"components/alerts/default/actions/{action}", body)["result"]


@alerts.command("list")
def list_alerts(
    url: Url = None,
    severity: Severity = None,
    state: Annotated[
        Literal["firing", "pending", "resolved"] | None, typer.Option(help="Only in this state; resolved lately.")
    ] = None,
    name: Name = None,
    source: Source = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 1 when an alert fires that nobody silenced.")
    ] = False,
    prefix: Prefix = _PREFIX,
    timeout: Timeout = _TIMEOUT,
    as_json: AsJson = False,
) -> None:
    """List the alerts that fire or are pending.

    The exit status is 0 whether one fires or not, as amtool's is, and 2 when the service cannot be asked; with
    --exit-code it is 1 when one fires.
    """
    with faults(as_json):
        service = _service(url, prefix, timeout)
        query = {"severity": severity, "state": state, "name": name, "source": source, "limit": 1}
        found = service.get("unified/alerts", **query)["current"]
    firing = [alert for alert in found if alert["state"] == "firing" and not alert["silenced_by"]]
    if as_json:
        print_json({"ok": not firing, "alerts": found})
    elif not found:
        console.print("No alert fires.")
    else:
        table = _table("severity", "alert", "state", "for", "value", "summary", "fingerprint")
        for alert in found:
            since = alert["fired_at"] if alert["fired_at"] is not None else alert["since"]
            _add(
                table,
                alert,
                alert["severity"],
                alert["name"],
                _state(alert),
                duration(_now() - since),
                _number(alert["value"]),
                alert["summary"],
                alert["fingerprint"],
            )
        _show(table)
    raise typer.Exit(EXIT_FAULTS if exit_code and firing else 0)


@alerts.command()
def history(
    url: Url = None,
    severity: Severity = None,
    name: Name = None,
    source: Source = None,
    since: Annotated[str, typer.Option(help="How far back: 24h, 7d, or a moment in ISO 8601.")] = "24h",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many, the latest first.")] = 50,
    prefix: Prefix = _PREFIX,
    timeout: Timeout = _TIMEOUT,
    as_json: AsJson = False,
) -> None:
    """List how alerts changed, the latest first."""
    with faults(as_json):
        service = _service(url, prefix, timeout)
        query = {"severity": severity, "name": name, "source": source, "since": _moment(since), "limit": limit}
        page = service.get("unified/alerts", **query)
    if as_json:
        print_json({"ok": True, "items": page["items"], "next": page["next"]})
        return
    if not page["items"]:
        console.print(f"No alert changed since {since}.")
        return
    table = _table("when", "severity", "alert", "change", "value", "summary")
    for item in page["items"]:
        change = f"{item['before']} → {item['state']}"
        when = datetime.fromtimestamp(item["at"], UTC).strftime("%Y-%m-%d %H:%M:%S")
        _add(table, item, when, item["severity"], item["name"], change, _number(item["value"]), item["summary"])
    _show(table)
    if page["next"]:
        console.print(f"There are more; --limit {min(1000, limit * 4)} shows them.", style="dim")


@alerts.command()
def ack(
    alert: Annotated[str, typer.Argument(help="Its fingerprint, or its name where only one of that name is active.")],
    url: Url = None,
    note: Annotated[str, typer.Option("--note", "-m", help="What is being done.")] = "",
    prefix: Prefix = _PREFIX,
    timeout: Timeout = _TIMEOUT,
    as_json: AsJson = False,
) -> None:
    """Say that you look after an alert: people are not told of it again until it fires anew."""
    with faults(as_json):
        # Names of alerts begin with a capital letter, and fingerprints are hexadecimal.
        body = {"alert" if alert[:1].isupper() else "fingerprint": alert, "note": note}
        done = _service(url, prefix, timeout).post("unified/acknowledge-alert", body)
    if as_json:
        print_json({"ok": True, "alert": done})
    else:
        who = (done["acknowledged"] or {}).get("actor", "You")
        console.print(f"{escape(who)} looks after {done['name']} ({done['fingerprint']}).")


@alerts.command()
def silence(
    matchers: Annotated[list[str], typer.Argument(help="Conditions that all must hold: alertname=CacheHitRateLow.")],
    url: Url = None,
    lasting: Annotated[str, typer.Option("--for", help="For how long: 30m, 2h, 1d.")] = "1h",
    comment: Annotated[str, typer.Option("--comment", "-m", help="Why.")] = "",
    prefix: Prefix = _PREFIX,
    timeout: Timeout = _TIMEOUT,
    as_json: AsJson = False,
) -> None:
    """Let nobody be told of the alerts that match, for a while.

    A condition is label=value, or with !=, =~ or !~ in the place of =; what holds no operator is the name of an alert.
    """
    with faults(as_json):
        conditions = [text if any(sign in text for sign in "=~") else f'alertname="{text}"' for text in matchers]
        body = {"matchers": conditions, "duration": seconds(lasting), "comment": comment}
        made = _service(url, prefix, timeout).act("silence", body)
    if as_json:
        print_json({"ok": True, "silence": made})
    else:
        console.print(f"Silence {made['id']} of {escape(', '.join(made['matchers']))} for {lasting}.")


@alerts.command()
def silences(
    url: Url = None,
    expired: Annotated[bool, typer.Option("--expired", help="Also those that ended.")] = False,
    prefix: Prefix = _PREFIX,
    timeout: Timeout = _TIMEOUT,
    as_json: AsJson = False,
) -> None:
    """List the silences that are in force or to come."""
    with faults(as_json):
        found = _service(url, prefix, timeout).get("unified/silences", expired=str(expired).lower())["items"]
    if as_json:
        print_json({"ok": True, "silences": found})
        return
    if not found:
        console.print("Nothing is silenced.")
        return
    table = _table("state", "ends in", "alerts that match", "by", "comment", "id")
    for one in found:
        left = duration(one["ends"] - _now()) if one["state"] != "expired" else "ended"
        cells = (one["state"], left, ", ".join(one["matchers"]), one["actor"], one["comment"], one["id"])
        table.add_row(*map(escape, cells))
    _show(table)


@alerts.command()
def expire(
    ids: Annotated[list[str], typer.Argument(help="Of the silences, as `silences` lists them.")],
    url: Url = None,
    prefix: Prefix = _PREFIX,
    timeout: Timeout = _TIMEOUT,
    as_json: AsJson = False,
) -> None:
    """End silences now."""
    with faults(as_json):
        service = _service(url, prefix, timeout)
        ended = [service.act("expire-silence", {"id": each}) for each in ids]
    if as_json:
        print_json({"ok": True, "silences": ended})
    else:
        for one in ended:
            console.print(f"Silence {one['id']} has ended.")


def _service(url: str | None, prefix: str, timeout: float) -> Service:
    url = url or f"http://127.0.0.1:{os.environ.get('PORT') or 8000}"
    return Service(Client(url, token=token_of(), timeout=timeout), "/" + prefix.strip("/"))


def _moment(text: str) -> float:
    """Return the Unix time of a span before now, or of a moment."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return _now() - seconds(text)
    if text.isdigit():  # 20240101 is a day to Python, and more likely a mistake
        raise BedplateError(f"{text!r} is no time.", "Write 24h, 7d or 2026-11-27T10:00.")
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def _now() -> float:
    return time.time()


def _table(*columns: str) -> Table:
    """Return an empty table in which only what is long to read is broken into lines, never what is to be copied."""
    table = Table(box=None, header_style="dim")
    for column in columns:
        table.add_column(column, no_wrap=column not in ("summary", "comment", "alerts that match"), overflow="fold")
    return table


def _show(table: Table) -> None:
    # In a file or a pipe there is no width to keep to.
    screen = Console(highlight=False, width=None if console.is_terminal else _WIDE)
    natural = Measurement.get(screen, screen.options.update(max_width=_WIDE), table).maximum
    if natural <= screen.width:
        screen.print(table)
    else:
        _show_records(table, screen)


def _show_records(table: Table, screen: Console) -> None:
    """Print what does not fit beside each other: a line of short cells, and below it what is long to read."""
    for cells in zip(*(column.cells for column in table.columns), strict=True):
        row = list(zip(table.columns, map(str, cells), strict=True))
        screen.print("  ".join(cell for column, cell in row if column.no_wrap and cell), soft_wrap=True)
        for cell in (cell for column, cell in row if not column.no_wrap and cell):
            screen.print(Padding(cell, (0, 0, 0, 4)))


def _add(table: Table, alert: Mapping[str, Any], *cells: str) -> None:
    colour = _COLOURS.get(alert["severity"], "")
    marked: Sequence[str] = [
        f"[{colour}]{escape(cell)}[/{colour}]" if colour and cell == alert["severity"] else escape(cell)
        for cell in cells
    ]
    table.add_row(*marked)


def _state(alert: Mapping[str, Any]) -> str:
    if alert["silenced_by"]:
        return f"{alert['state']}, silenced"
    who = alert["acknowledged"]
    if not who and alert.get("because"):
        return f"{alert['state']}, follows from another"
    return f"{alert['state']}, {who['actor']} is on it" if who else str(alert["state"])


def _number(value: float | None) -> str:
    return "NaN" if value is None else f"{value:.6g}"
