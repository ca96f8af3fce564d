"""``bedplate smoke``: whether a deployment works and can be watched, from outside."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

import typer

from bedplate.cli.client import Client, token_of
from bedplate.cli.output import EXIT_FAULTS, EXIT_USAGE, print_json
from bedplate.problems import BedplateError

__all__ = ["smoke"]


def smoke(
    url: Annotated[str, typer.Argument(help="Where the service or the process is: https://host/ledger.")],
    suite: Annotated[
        Literal["smoke", "observability", "all"],
        typer.Option(help="smoke: it works; observability: it can be watched."),
    ] = "smoke",
    env: Annotated[
        Literal["development", "staging", "production"] | None,
        typer.Option(help="Where it must say that it runs; by default where it does."),
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="module:attribute to take the checks from, instead of from the service.")
    ] = None,
    prefix: Annotated[str | None, typer.Option(help="Of the management API; by default it is found.")] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that one answer may take.")] = 10.0,
    strict: Annotated[bool, typer.Option("--strict", help="Take warnings for failures.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", envvar="VERBOSE", help="Say what each check asks for.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Check a running deployment: what its components declare answers, is measured, is watched, and is closed.

    It changes nothing. The token in AUTH_TOKEN is presented; checks that need one and have none are warnings. The exit
    status is 0 when all is well, 1 when a check fails (or warns, with --strict), 2 when it cannot be checked.
    """
    from bedplate.cli.smoke_deployments import checked, deployments, document
    from bedplate.cli.smoke_screen import Screen

    screen = Screen(verbose=verbose, quiet=as_json)
    with _told(as_json):
        client = Client(url, token=token_of(os.environ), timeout=timeout)
        found = list(deployments(client, prefix, target))
        outcomes = [(each, checked(each, suite, env, screen)) for each in found]
        if not any(report.results for _, report in outcomes):
            raise BedplateError(f"There is nothing to check in the suite {suite}.", "Choose --suite all.")
    failed = sum(report.count("failed") for _, report in outcomes)
    warned = sum(report.count("warning") for _, report in outcomes)
    ok = not failed and not (strict and warned)
    if as_json:
        services = [document(each, report) for each, report in outcomes]
        print_json({"ok": ok, "url": client.url, "suite": suite, "services": services})
    raise typer.Exit(0 if ok else EXIT_FAULTS)


@contextmanager
def _told(as_json: bool) -> Iterator[None]:
    """Say in a sentence why nothing could be checked; that is another exit status than a check that fails."""
    try:
        yield
    except BedplateError as error:
        if as_json:
            print_json({"ok": False, "error": error.what, "mend": error.mend})
        else:
            typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_USAGE) from None
