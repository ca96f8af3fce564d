"""What ``bedplate smoke`` checks: the services at an address, by the checks that they tell of or that a target has."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from bedplate.cli.client import AnsweredError, Client
from bedplate.monitor.checks import Item, Listing, Question, Reply, Report, Result, Runner, in_suite, listing_of

if TYPE_CHECKING:
    from bedplate.cli.smoke_screen import Screen
    from bedplate.component import Environment
    from bedplate.declarations import Suite
    from bedplate.monitor.auth.tokens import Grant

__all__ = ["Deployment", "checked", "deployments", "document"]

_PREFIX = "/monitoring"


@dataclass(frozen=True, slots=True)
class Deployment:
    """A service that is to be checked: where it is, and what it tells of itself."""

    client: Client
    listing: Listing


def deployments(client: Client, prefix: str | None, target: str | None) -> Iterator[Deployment]:
    """Yield the service at an address, or all services of the process that is there."""
    if target is not None:
        yield from _of_target(client, target)
        return
    try:
        yield Deployment(client, listing_of(client.get(f"{prefix or _PREFIX}/checks")))
    except AnsweredError as error:
        if error.status != 404:
            raise
        found = _services(client)
        if not found:
            raise
        for root, management in found.values():
            below = Client(f"{client.url}{root}", token=client.token, timeout=client.timeout)
            yield Deployment(below, listing_of(below.get(f"{management}/checks")))


def _services(client: Client) -> dict[str, tuple[str, str]]:
    """Return the services of a process, each with its root below the address and its management prefix."""
    answer = client.fetch("/")
    document = _object(answer.json()) if answer.status == 200 else {}
    found: dict[str, tuple[str, str]] = {}
    for name, links in _object(document.get("services")).items():
        management = _object(links).get("monitoring")
        if isinstance(management, str) and f"/{name}/" in management:
            found[name] = (f"/{name}", "/" + management.split(f"/{name}/", 1)[1])
    return found


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _of_target(client: Client, target: str) -> Iterator[Deployment]:
    from bedplate.monitor.checks import derived_checks
    from bedplate.service.loading import load
    from bedplate.service.runner import services_of

    services = services_of(load(target))
    for service in services:
        environment, management = service.settings.environment, service.builtins.settings.management_prefix
        specs = [component.spec for component in service.components]
        items = derived_checks(specs, prefix=management, environment=environment)
        # What a token may is not known here; the service refuses what it may not.
        grant: Grant | None = "admin" if client.token or environment in ("development", "test") else None
        listing = Listing(
            service=service.name, environment=environment, prefix=management, grant=grant, hidden={}, checks=items
        )  # fmt: skip
        root = "" if len(services) == 1 else f"/{service.name}"
        below = Client(f"{client.url}{root}", token=client.token, timeout=client.timeout)
        yield Deployment(below, listing)


def checked(deployment: Deployment, suite: Suite | Literal["all"], env: str | None, screen: Screen) -> Report:
    """Ask a service all checks of a suite, show each result, and return them."""
    listing, client = deployment.listing, deployment.client
    items = in_suite(listing.checks, suite)
    screen.begin(client.url, listing, len(items))
    said = list(_said(deployment, suite, env))
    for result in said:
        screen.tell(result)
    runner = Runner(_asking(client), grant=listing.grant, presented=bool(client.token), told=screen.tell)
    report = asyncio.run(runner.run(items))
    report = replace(report, results=(*said, *report.results))
    screen.end(report)
    return report


def _said(deployment: Deployment, suite: Suite | Literal["all"], env: str | None) -> Iterator[Result]:
    """Yield what can be told without asking: the environment, the way there, and what is told to others only."""
    listing, client = deployment.listing, deployment.client
    here = env or listing.environment
    if suite != "observability":
        if env is not None:
            yield _environment(listing.environment, env)
        if here == "production":
            yield _encrypted(client)
    hidden = sum(count for name, count in listing.hidden.items() if suite in ("all", name))
    if hidden:
        item = Item(name="token", group="access", source="", summary="All checks are told to us.", path="/")
        more = "1 more check needs" if hidden == 1 else f"{hidden} more checks need"
        what = f"more than a token of {listing.grant}" if listing.grant else "a token: put one into AUTH_TOKEN"
        yield Result(item, "warning", f"{more} {what}")


def _environment(is_: Environment, wanted: str) -> Result:
    item = Item(name="environment", group="access", source="", path="/", summary=f"It runs in {wanted}.")
    return Result(item, "passed" if is_ == wanted else "failed", "" if is_ == wanted else f"it runs in {is_}")


def _encrypted(client: Client) -> Result:
    parts = urlsplit(client.url)
    item = Item(name="encrypted", group="access", source="", path="/", summary="Nobody on the way can read the token.")
    if parts.scheme == "https" or parts.hostname in ("localhost", "127.0.0.1", "::1"):
        return Result(item, "passed")
    return Result(item, "warning", "it is reached over http, where the token can be read on the way: use https")


def _asking(client: Client) -> Any:
    def fetch(question: Question) -> Reply:
        answer = client.fetch(
            question.path, method=question.method, headers=question.headers, authorized=question.authorized
        )
        return Reply(answer.status, answer.headers, answer.body, answer.seconds)

    async def ask(question: Question) -> Reply:
        # Nothing else happens meanwhile, and Ctrl-C reaches it at once.
        return fetch(question)

    return ask


def document(deployment: Deployment, report: Report) -> dict[str, Any]:
    """Return what was found of a service, for programs."""
    listing = deployment.listing
    return {
        "service": listing.service,
        "url": deployment.client.url,
        "environment": listing.environment,
        **report.document(),
    }
