"""What production refuses: a list of named rules over all settings, which a service can extend.

A rule that a service means to break is accepted by name, ``BEDPLATE_ALLOW=sqlite``; it is then a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from bedplate.problems import Refusal
from bedplate.settings.fields import Declared
from bedplate.settings.layers import Found
from bedplate.settings.markers import Issued, RefuseIf, RequiredInProduction
from bedplate.settings.secret import Dsn, Secret

__all__ = ["RULES", "Rule", "Setting", "apply", "secrets_in"]

#: The fewest characters of a secret that we make ourselves: 16 random letters and digits are some 95 bits.
MIN_SECRET_LENGTH = 16

#: The fewest different characters; a random text of 16 has fewer than 6 once in 10 billion times.
MIN_DIFFERENT = 6

_COMMON = frozenset(
    "admin changeme default dev development example foobar guest insecure letmein minioadmin password postgres "
    "redis root secret sentinel test user".split()
)
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as it is now: its declaration, its value and where that comes from."""

    declared: Declared
    value: Any = field(repr=False)
    found: Found | None = None

    @property
    def name(self) -> str:
        """The path with dots, ``logs.level``."""
        return self.declared.name

    @property
    def origin(self) -> str:
        """Where the value comes from, ``environment LOG_LEVEL``; ``default`` when nothing set it."""
        return "default" if self.found is None else self.found.origin

    @property
    def shown(self) -> str:
        """The value for people, masked where it must be."""
        return self.declared.show(self.value)


@dataclass(frozen=True, slots=True)
class Rule:
    """Something that is not safe in production.

    :param name: by which ``BEDPLATE_ALLOW`` accepts it.
    :param check: returns what is refused, each with its mend.
    :param warns: it is only warned of, in production too, until it is accepted by name.
    """

    name: str
    summary: str
    check: Callable[[Sequence[Setting]], Iterable[Refusal]]
    warns: bool = False


def apply(rules: Iterable[Rule], settings: Sequence[Setting]) -> Iterator[tuple[str, Refusal]]:
    """Yield the name of the rule with everything it refuses; markers on fields first."""
    for setting in settings:
        yield from _marked(setting)
    for rule in rules:
        for refusal in rule.check(settings):
            yield rule.name, refusal


def _marked(setting: Setting) -> Iterator[tuple[str, Refusal]]:
    variable = setting.declared.variable
    for marker in setting.declared.field.metadata:
        if isinstance(marker, RefuseIf) and marker.applies(setting.value):
            mend = marker.mend or f"Set {variable} to another value."
            yield marker.rule, Refusal(variable, f"is {setting.shown}, which {marker.because}.", mend)
        elif isinstance(marker, RequiredInProduction) and _empty(setting.value):
            yield "required", Refusal(variable, f"is not set: {marker.because}.", f"Set {variable}.")


def _empty(value: object) -> bool:
    return value is None or (isinstance(value, Secret) and not value.reveal()) or value in ("", (), [], {}, frozenset())


def _weak_secrets(settings: Sequence[Setting]) -> Iterator[Refusal]:
    for setting in settings:
        for secret in secrets_in(setting.value):
            password = secret.password if isinstance(secret, Dsn) else secret.reveal()
            issued = isinstance(secret, Dsn) or setting.declared.marker(Issued) is not None
            weakness = _weakness(password, issued)
            if weakness:
                mend = "Make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
                yield Refusal(setting.declared.variable, f"holds a secret that is {weakness}.", mend)


def secrets_in(value: object) -> Iterator[Secret]:
    """Yield the secrets that a value is or holds."""
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from (item for item in value if isinstance(item, Secret))
    elif isinstance(value, dict):
        yield from (item for item in value.values() if isinstance(item, Secret))


def _weakness(secret: str, issued: bool) -> str:
    if not secret:
        return ""
    if secret.lower().strip("0123456789!-_.") in _COMMON:
        return "in every attacker's list"
    if issued:
        return ""
    if len(secret) < MIN_SECRET_LENGTH:
        return f"shorter than {MIN_SECRET_LENGTH} characters"
    return "made of very few different characters" if len(set(secret)) < MIN_DIFFERENT else ""


def _wildcards(settings: Sequence[Setting]) -> Iterator[Refusal]:
    for setting in settings:
        last = setting.declared.path[-1]
        value = setting.value
        items: Collection[object] = value if isinstance(value, (list, tuple, set, frozenset)) else (value,)
        if "*" in items and any(word in last for word in ("host", "origin", "prox")):
            what = "holds *, which trusts everybody."
            yield Refusal(setting.declared.variable, what, "Name those that are to be trusted.")


def _embedded_databases(settings: Sequence[Setting]) -> Iterator[Refusal]:
    for setting in settings:
        if isinstance(setting.value, Dsn) and setting.value.scheme.partition("+")[0] in ("sqlite", "memory"):
            what = f"is {setting.shown}, a database that instances cannot share."
            yield Refusal(setting.declared.variable, what, "Give the address of a server.")


def _no_database(settings: Sequence[Setting]) -> Iterator[Refusal]:
    for setting in settings:
        if setting.name == "database_url" and setting.value is None:
            what = "is not set: alerts, silences and records are kept in a file of each host, and shared by no two."
            yield Refusal(
                setting.declared.variable, what, "Give the address of a server if there is a second instance."
            )


def _plain_credentials(settings: Sequence[Setting]) -> Iterator[Refusal]:
    by_name = {setting.name: setting for setting in settings}
    headers = by_name.get("otel_exporter_otlp_headers")
    for setting in settings:
        dsn = setting.value
        if not isinstance(dsn, Dsn) or dsn.scheme != "http" or dsn.host in _LOOPBACK:
            continue
        exports = setting.name.startswith("otel_exporter") and headers is not None and headers.value is not None
        if exports or dsn.parts.username:
            what = f"is {setting.shown}, over which credentials travel unencrypted."
            yield Refusal(setting.declared.variable, what, "Use https://.")


def _secrets_in_config(settings: Sequence[Setting]) -> Iterator[Refusal]:
    for setting in settings:
        if setting.found is not None and setting.found.plain_file and any(map(_weighty, secrets_in(setting.value))):
            variable = setting.declared.variable
            what = f"is a secret and stands in {setting.origin.partition(' ')[0]}."
            yield Refusal(variable, what, f"Set {variable} or {variable}_FILE, and change the secret.")


def _weighty(secret: Secret) -> bool:
    return any(secret.hidden())


#: What every service refuses in production; a settings class adds its own: ``rules = (*RULES, mine)``.
RULES: tuple[Rule, ...] = (
    Rule("weak-secret", "A secret that is a common word, short, or of few different characters.", _weak_secrets),
    Rule("wildcard", "Hosts, origins or proxies that are everybody.", _wildcards),
    Rule("sqlite", "A database that lives in one process or file.", _embedded_databases),
    Rule("own-database", "No database that instances share; right for one host.", _no_database, warns=True),
    Rule("plain-credentials", "Credentials sent over plain HTTP to another machine.", _plain_credentials),
    Rule("secret-in-config", "A secret in a file that is likely to be committed.", _secrets_in_config),
)
