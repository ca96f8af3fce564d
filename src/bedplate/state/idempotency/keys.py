"""The header, the caller, and the fingerprint of a request."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from hashlib import blake2b

from starlette.types import Scope

from bedplate.state.idempotency.errors import KeyMissingError

__all__ = ["Caller", "by_caller", "digest", "fingerprint", "has_key", "key_of"]

#: Says who calls, so that nobody gets another's answer; it may be async. An error of it that answers over HTTP, such as
#: a 401, is the answer then: nothing is looked up.
Caller = Callable[[Scope], str | Awaitable[str]]

#: The string of a structured field (RFC 9651), or, as many clients send it, the same without quotes.
_QUOTED = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"\s*\Z')
_BARE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+\s*\Z")
_ESCAPE = re.compile(r"\\(.)")
_LONGEST = 255
#: Letters that a key of nobody in particular must have: it alone keeps others from the answer.
_LEAST_ANONYMOUS = 16


def has_key(scope: Scope) -> bool:
    """Whether a request has the header at all, right or wrong."""
    return any(name == b"idempotency-key" for name, _ in scope["headers"])


def key_of(scope: Scope) -> str | None:
    """Return the idempotency key of a request, None when there is none.

    :raises KeyMissingError: when it is not one string of at most 255 characters.
    """
    found = None
    for name, value in scope["headers"]:
        if name == b"idempotency-key":
            if found is not None:
                raise KeyMissingError("There is more than one Idempotency-Key header.")
            found = value.decode("latin-1").strip()
    if found is None:
        return None
    quoted = _QUOTED.match(found)
    key = _ESCAPE.sub(r"\1", quoted[1]) if quoted else found
    if not key or len(key) > _LONGEST or not (quoted or _BARE.match(found)):
        raise KeyMissingError(f"The Idempotency-Key is not a string of 1 to {_LONGEST} characters.")
    return key


def checked(key: str, caller: str) -> str:
    """Return the key. :raises KeyMissingError: when others could guess it and nothing else tells callers apart."""
    if not caller and len(key) < _LEAST_ANONYMOUS:
        what = f"Without being signed in, an Idempotency-Key needs {_LEAST_ANONYMOUS} characters or more: use a UUID."
        raise KeyMissingError(what)
    return key


async def by_caller(scope: Scope) -> str:
    """Return who calls: the user of the session, else the credentials of the ``Authorization`` header, else nobody."""
    session = scope.get("state", {}).get("session")
    if session is not None:
        await session.load()
        if session.user is not None:
            return f"user:{session.user}"
    for name, value in scope["headers"]:
        if name == b"authorization":
            return f"authorization:{value.decode('latin-1')}"
    return ""


def digest(caller: str, key: str) -> str:
    """Return what the store calls a key of a caller; neither can be told from it."""
    hashed = blake2b(digest_size=20, person=b"bedplate-idem")
    for part in (caller, key):
        data = part.encode()
        hashed.update(len(data).to_bytes(4, "big"))
        hashed.update(data)
    return hashed.hexdigest()


def fingerprint(*parts: bytes) -> str:
    """Return the fingerprint of a request: method, path, query and body."""
    hashed = blake2b(digest_size=20, person=b"bedplate-print")
    for part in parts:
        hashed.update(len(part).to_bytes(8, "big"))
        hashed.update(part)
    return hashed.hexdigest()
