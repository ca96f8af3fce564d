"""Values that must not be seen: secrets, and addresses that carry a password."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Self
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from pydantic import AfterValidator, GetCoreSchemaHandler, SecretStr
from pydantic_core.core_schema import CoreSchema, no_info_after_validator_function

__all__ = ["MASK", "Dsn", "Secret", "looks_secret", "mask_text", "schemes"]

#: What stands in the place of a secret.
MASK = "**********"

_SECRET_WORDS = re.compile(r"(?:^|_)(?:password|passwd|passphrase|secret|token|credential|credentials|api_?key|key)s?$")
# Greedy up to the last @, because a password that was not percent-encoded may hold anything.
_URL_PASSWORD = re.compile(r"(?P<start>[a-zA-Z][a-zA-Z0-9+.-]*://[^\s/?#:@]*):[^\s\"]*@")
_QUERY_PASSWORD = re.compile(r"(?P<start>[?&](?:\w*password|token|secret|api_?key|sig)=)[^&#\s]*", re.IGNORECASE)
_NOT_ENCODED = "cannot be taken apart: percent-encode what is special in it, @ as %40, / as %2F, # as %23, ? as %3F"


class Secret(SecretStr):
    """A text that is masked in ``str``, ``repr``, JSON, logs and error messages.

    :meth:`reveal` gives the text itself; whoever calls it answers for where it goes.
    """

    def reveal(self) -> str:
        """Return the text."""
        return self.get_secret_value()

    def hidden(self) -> Iterator[str]:
        """Yield every text that must not appear anywhere; a redactor is told of them."""
        yield self.get_secret_value()


class Dsn(Secret):
    """An address that may carry a password, ``redis://:password@cache:6379/0``; shown without it.

    As a field it is refused when it has no scheme, or a password that cuts it short.
    """

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[Any], handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = super().__get_pydantic_core_schema__(source, handler)
        return no_info_after_validator_function(cls._checked, schema)

    def _checked(self) -> Self:
        try:
            parts = self.parts
        except ValueError:
            raise ValueError(_NOT_ENCODED) from None
        if not parts.scheme:
            raise ValueError("is not a URL: write scheme://host/…")
        if "@" in parts.path + parts.query + parts.fragment:
            raise ValueError(_NOT_ENCODED)  # a / or # in the password ends the host too early
        return self

    @property
    def parts(self) -> SplitResult:
        """The address split as by :func:`urllib.parse.urlsplit`; user name and password are percent-encoded."""
        return urlsplit(self.get_secret_value())

    @property
    def scheme(self) -> str:
        """The scheme in lower case, such as ``postgresql+asyncpg``."""
        return self.parts.scheme

    @property
    def host(self) -> str:
        """The host in lower case, empty when there is none."""
        return self.parts.hostname or ""

    @property
    def password(self) -> str:
        """The decoded password, empty when there is none."""
        return unquote(self.parts.password or "")

    def hidden(self) -> Iterator[str]:
        """Yield the password as written and as decoded, and what looks like a secret in the query."""
        parts = self.parts
        yield from {parts.password or "", unquote(parts.password or "")}
        yield from (value for name, value in parse_qsl(parts.query) if looks_secret(name))

    def _display(self) -> str:
        return mask_text(self.get_secret_value())


def schemes(*allowed: str) -> AfterValidator:
    """Return the annotation that lets a :class:`Dsn` have only these schemes; ``postgresql`` allows its drivers too."""

    def check(dsn: Dsn | None) -> Dsn | None:
        if dsn is not None and dsn.scheme.partition("+")[0] not in allowed:
            raise ValueError(f"its scheme is {dsn.scheme!r}, not one of {', '.join(allowed)}")
        return dsn

    return AfterValidator(check)


def looks_secret(name: str) -> bool:
    """Say whether a field or parameter of this name is likely to hold a secret, whatever its type."""
    return _SECRET_WORDS.search(name.lower()) is not None


def mask_text(text: str) -> str:
    """Return the text with the passwords of its URLs masked."""
    text = _URL_PASSWORD.sub(rf"\g<start>:{MASK}@", text)
    return _QUERY_PASSWORD.sub(rf"\g<start>{MASK}", text)
