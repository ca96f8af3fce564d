"""What is checked of a running service, as values that travel: from the service to whoever runs its checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from bedplate.component import Environment, Spec
from bedplate.declarations import AccessRole, Check, Suite
from bedplate.monitor.auth.tokens import Grant, allows
from bedplate.problems import BedplateError

__all__ = ["Item", "Listing", "Value", "in_suite", "item_of", "listing_of"]

#: An answer is asked for and judged; or a request is made, and its log record or its trace looked for.
Kind = Literal["answer", "log", "trace"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """What must stand somewhere in a JSON answer.

    :param path: where, see :func:`~bedplate.monitor.checks.paths.found`. :param equals: what must stand there.
    :param tolerated: what may stand there and is only a warning.
    """

    path: str
    equals: str
    tolerated: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One check, whether a component declares it or it is derived.

    :param name: unique in a service: ``cache:reports/stats`` as declared, ``cache:reports.runs`` as derived.
    :param source: the label of the component it is about.
    :param values: what must stand in a JSON answer.
    :param anonymous: asked without a token, to see that nobody gets in. :param public: may be told to everybody.
    """

    name: str
    group: str
    source: str
    summary: str = ""
    suite: Suite = "smoke"
    kind: Kind = "answer"
    method: Literal["GET", "HEAD", "OPTIONS"] = "GET"
    path: str
    expect: int = 200
    within: float = 1.0
    role: AccessRole | None = None
    fields: tuple[str, ...] = ()
    contains: tuple[str, ...] = ()
    values: tuple[Value, ...] = ()
    optional: bool = False
    anonymous: bool = False
    public: bool = False

    def permits(self, grant: Grant | None) -> bool:
        """Return whether somebody with this grant may run it."""
        return self.anonymous or self.role is None or (grant is not None and allows(grant, self.role))


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The checks of a service as it tells them.

    :param grant: what the one who asked may do; None for everybody.
    :param hidden: how many checks of each suite are told only to those who may run them.
    """

    service: str
    environment: Environment
    prefix: str
    checks: tuple[Item, ...]
    grant: Grant | None = None
    hidden: Mapping[Suite, int]


def item_of(check: Check, spec: Spec) -> Item:
    """Return a component's own check."""
    return Item(
        name=f"{spec.label}/{check.name}",
        group=check.group or spec.kind,
        source=spec.label,
        summary=check.summary,
        suite=check.suite,
        method=check.method,
        path=check.path,
        expect=check.expect,
        within=check.within,
        role=check.role,
        fields=check.fields,
        contains=check.contains,
        optional=check.optional,
        public=check.role is None,
    )


def in_suite(items: Iterable[Item], suite: Suite | Literal["all"]) -> tuple[Item, ...]:
    """Return the checks of a suite, or all."""
    return tuple(item for item in items if suite in ("all", item.suite))


def listing_of(document: Any) -> Listing:
    """Read what a service tells.

    :raises BedplateError: when it is no list of checks.
    """
    try:
        listing = _LISTING.validate_python(document)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the answer"
        raise BedplateError(
            f"The list of checks cannot be read: {where}: {first['msg']}.",
            "Use the version of bedplate that the service runs on.",
        ) from None
    unrooted = next((item for item in listing.checks if not item.path.startswith("/")), None)
    if unrooted is not None:
        raise BedplateError(f"The check {unrooted.name} asks for {unrooted.path!r}.", "Begin its path with a slash.")
    return listing


_LISTING: TypeAdapter[Listing] = TypeAdapter(Listing)
