"""What sessions are called: in the cookie, and in the store, which never learns what the cookie says."""

from __future__ import annotations

import re
import secrets
from base64 import urlsafe_b64encode
from hashlib import blake2b

from bedplate.settings.rotation import RotatingSecret
from bedplate.settings.secret import Secret

__all__ = ["Names", "split_id", "split_token"]

#: Bytes of a session's secret; 128 bits would do.
_SECRET_BYTES = 32
_TAG_BYTES = 16
_TOKEN = re.compile(r"([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{43})\Z")
_ID = re.compile(r"([A-Za-z0-9_-]{22})\.([0-9a-f]{48})\Z")


class Names:
    """A cookie holds ``<tag>.<secret>``. The tag says which user's sessions to look at, the secret which of them.

    Of the secret the store has a keyed hash: whoever reads it can sign in as nobody, and whoever writes into it
    cannot make a session whose cookie he knows.
    """

    def __init__(self, service: str, name: str, secret: RotatingSecret) -> None:
        self._prefix = f"{service}:sessions:{name}:"
        self._salt = blake2b(self._prefix.encode(), digest_size=16).digest()
        self._secret = secret
        self._current: Secret | None = None
        self._hash = blake2b()
        #: How every key begins.
        self.prefix = self._prefix + "{"
        #: Where the time is kept up to which everybody was signed out.
        self.epoch = f"{self._prefix}everyone"
        #: Where instances tell each other what has ended.
        self.channel = f"{self._prefix}ended"

    def key(self, tag: str) -> str:
        """Return the key of a user's sessions."""
        return f"{self.prefix}{tag}}}"

    def tag_in(self, key: str) -> str:
        """Return the tag in a key."""
        return key[len(self.prefix) : -1]

    def tag_of(self, user: str) -> str:
        """Return the tag of a user: always the same, and nothing to guess the user by for who sees a key."""
        digest = blake2b(user.encode(), digest_size=_TAG_BYTES, salt=self._salt, person=b"bedplate-user").digest()
        return _text(digest)

    def new_tag(self) -> str:
        """Return a tag for a session of nobody."""
        return secrets.token_urlsafe(_TAG_BYTES)

    def new_secret(self) -> str:
        """Return a secret that nobody can guess."""
        return secrets.token_urlsafe(_SECRET_BYTES)

    def field(self, secret: str) -> str:
        """Return what the store calls the session of a secret."""
        current = self._secret.current
        if current is not self._current:
            self._current, self._hash = current, self._keyed(current)
        hashed = self._hash.copy()
        hashed.update(secret.encode())
        return hashed.hexdigest()

    def previous_field(self, secret: str) -> str | None:
        """Return what it was called before the service's secret was rotated, while that is still good."""
        previous = self._secret.previous
        if previous is None:
            return None
        hashed = self._keyed(previous)
        hashed.update(secret.encode())
        return hashed.hexdigest()

    def _keyed(self, secret: Secret) -> blake2b:
        key = blake2b(secret.reveal().encode(), digest_size=32, person=b"bedplate-key").digest()
        return blake2b(key=key, digest_size=24, salt=self._salt, person=b"bedplate-sess")


def split_token(token: str) -> tuple[str, str] | None:
    """Return tag and secret of a cookie, None when it cannot be one of ours."""
    match = _TOKEN.match(token)
    return None if match is None else (match[1], match[2])


def split_id(id: str) -> tuple[str, str] | None:
    """Return tag and name of a session's public id, None when it cannot be one."""
    match = _ID.match(id)
    return None if match is None else (match[1], match[2])


def _text(digest: bytes) -> str:
    return urlsafe_b64encode(digest).rstrip(b"=").decode()
