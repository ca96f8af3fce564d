"""Accounts: opening one, signing in, and passwords.

What an attacker could learn or wear out is bounded:

- Passwords are hashed with Argon2id, in few threads of their own, and beyond a short queue refused at once.
- Whether an address has an account is not told by signing in: the same work is done, and the same is answered.
- Attempts are limited by address of the network, and by account, whether it exists or not. A success gives its unit
back.
- Whoever changes the password is signed out everywhere else.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from pydantic import Field
from starlette.exceptions import HTTPException
from uuid_utils import uuid7

from bedplate.component import BoundHistogram, Host, Spec
from bedplate.problems import BedplateError
from bedplate.settings import Section
from bedplate.state.answering import Answering
from bedplate.state.cache import Cache
from bedplate.state.limits import RateLimit
from bedplate.state.sessions import Session, Sessions
from tradesense.components.pool import Busy, Pool
from tradesense.components.records import Records
from tradesense.components.signals.accounts import (
    ACTIVE,
    ALERTS,
    HASHING,
    METRICS,
    PANELS,
    REFUSED,
    RUNBOOK,
    SIGN_INS,
    SIGN_UPS,
)
from tradesense.records import users
from tradesense.records.users import User

__all__ = ["AccountSettings", "Accounts", "BadCredentials", "EmailTaken", "WeakPassword", "normal_email"]

LEAST_PASSWORD: Final = 10
MOST_PASSWORD: Final = 200
_EMAIL: Final = re.compile(r"[^\s@\"<>(),;:\\]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?\Z")


class BadCredentials(BedplateError, Answering):
    """Address and password do not belong together, or there is no such account; over HTTP a 401."""

    status = 401
    answer = "Address or password is wrong."

    def __init__(self) -> None:
        super().__init__("Address or password is wrong.", "Try again.")
        self.headers = {"WWW-Authenticate": "Cookie"}


class EmailTaken(BedplateError, Answering):
    """The address has an account already; over HTTP a 409."""

    status = 409
    answer = "No account can be opened with this address. Sign in if it is yours."

    def __init__(self) -> None:
        super().__init__("The address has an account already.", "Sign in.")
        self.headers = None


class WeakPassword(BedplateError, ValueError):
    """A password that is guessed too easily."""


class AccountSettings(Section):
    """How passwords are hashed: OWASP's recommendation for Argon2id by default."""

    memory_kib: Annotated[int, Field(ge=8, le=1 << 20)] = 19_456
    """Memory that one hash takes."""

    rounds: Annotated[int, Field(ge=1, le=20)] = 2
    """Passes over that memory."""

    threads: Annotated[int, Field(ge=1, le=32)] = 2
    """Passwords that are hashed at once."""

    waiting: Annotated[int, Field(ge=0, le=1_000)] = 32
    """Passwords that may wait for it; beyond them people are asked to come back."""


class Accounts:
    """Opens accounts and lets people in.

    :param cache: where users are kept near, dropped by the tag ``user:<id>``.
    :param by_address: limits attempts of one network address. :param by_account: and those of one account.
    :param opening: limits accounts that one network address opens.
    """

    def __init__(
        self,
        settings: AccountSettings | None = None,
        *,
        records: Records,
        sessions: Sessions,
        cache: Cache,
        by_address: RateLimit,
        by_account: RateLimit,
        opening: RateLimit,
    ) -> None:
        self.settings = settings or AccountSettings()
        self._records = records
        self._sessions = sessions
        self._cache = cache
        self._user = cache.cached(key="user:{user_id}", tags=("user:{user_id}",), negative=0)(self._read)
        self._by_address, self._by_account, self._opening = by_address, by_account, opening
        self._hasher = PasswordHasher(
            time_cost=self.settings.rounds, memory_cost=self.settings.memory_kib, parallelism=1
        )
        self._pool = Pool("passwords", threads=self.settings.threads, waiting=self.settings.waiting)
        #: The hash of a password that nobody has, compared with where there is no account.
        self._nobodys = ""
        self._host: Host | None = None

    @property
    def spec(self) -> Spec:
        """What it is."""
        return Spec(
            kind="accounts",
            summary="Opens accounts, and lets people in and out.",
            needs=(self._records, self._sessions, self._cache, self._by_address, self._by_account, self._opening),
            settings=self.settings,
            metrics=METRICS,
            alerts=ALERTS,
            panels=PANELS,
            runbook=RUNBOOK,
        )

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Have threads for passwords while inside."""
        self._host = host
        self._hashing: BoundHistogram = host.bind(HASHING)
        for metric, outcomes in ((SIGN_INS, ("signed_in", "wrong", "limited", "busy")),
                                 (SIGN_UPS, ("opened", "taken", "limited", "busy"))):  # fmt: skip
            for outcome in outcomes:
                host.bind(metric, outcome=outcome)
        active, refused = host.bind(ACTIVE), host.bind(REFUSED)
        with self._pool.running(lambda count: active.set(count), lambda: refused.inc()):
            yield
        self._host = None

    async def sign_up(self, email: str, password: str, address: str, *, name: str = "", base: str = "USD") -> User:
        """Open an account.

        :param address: of the network, whom attempts are counted by.
        :raises WeakPassword: when it is guessed too easily. :raises EmailTaken: when the address has an account.
        :raises HTTPException: (429) after too many attempts. :raises Busy: when too many passwords are being hashed.
        """
        email = normal_email(email)
        judge_password(password, email)
        try:
            await self._opening.require(address)
            hashed = await self._hash(password)
        except (HTTPException, Busy) as error:
            self._count(SIGN_UPS, "busy" if isinstance(error, Busy) else "limited")
            raise
        user = User(str(uuid7()), email, name, base, "fifo", "UTC", Decimal(0), self._records.now())
        async with self._records.writing() as connection:
            opened = await users.create(connection, user, hashed)
        self._count(SIGN_UPS, "opened" if opened else "taken")
        if not opened:
            raise EmailTaken
        return user

    async def sign_in(self, session: Session, email: str, password: str, address: str, *, label: str = "") -> User:
        """Let somebody in: the session is the user's from then on, with a new secret.

        :raises BadCredentials: when address and password do not belong together, or there is no account; which of
            them is not told, nor by the time that it takes.
        :raises HTTPException: (429) after too many attempts. :raises Busy: when too many passwords are being compared.
        :raises SessionsUnavailableError: when nobody can be let in now.
        """
        email = normal_email(email)
        account = hashlib.blake2b(email.encode(), digest_size=16).hexdigest()
        try:
            await self._by_address.require(address)
            await self._by_account.require(account)
            user = await self._known(email, password)
        except (HTTPException, Busy) as error:
            outcome: Literal["wrong", "busy", "limited"] = "limited"
            if isinstance(error, Busy | BadCredentials):
                outcome = "busy" if isinstance(error, Busy) else "wrong"
            self._count(SIGN_INS, outcome)
            raise
        # Whoever is let in has not guessed.
        await self._by_account.charge(account, -1)
        await session.sign_in(user.id, label=label)
        self._count(SIGN_INS, "signed_in")
        return user

    async def change_password(self, session: Session, user: User, old: str, new: str) -> None:
        """Change the password, and sign the user out everywhere but here.

        :raises BadCredentials: when the old one is wrong. :raises WeakPassword: when the new one is guessed easily.
        """
        judge_password(new, user.email)
        await self._by_account.require(hashlib.blake2b(user.email.encode(), digest_size=16).hexdigest())
        await self._known(user.email, old)
        hashed = await self._hash(new)
        async with self._records.writing() as connection:
            await users.change(connection, user.id, {"password": hashed})
        await session.rotate()
        await session.sign_out_everywhere(but_here=True)

    async def verify(self, user: User, password: str) -> None:
        """Make sure that it is the user who asks. :raises BadCredentials: when the password is wrong."""
        await self._by_account.require(hashlib.blake2b(user.email.encode(), digest_size=16).hexdigest())
        await self._known(user.email, password)

    async def user_of(self, session: Session) -> User | None:
        """Return the user of a session; None when nobody is signed in, or the account is gone."""
        return None if session.user is None else await self._user(session.user)

    async def _read(self, user_id: str) -> User | None:
        async with self._records.reading() as connection:
            return await users.by_id(connection, user_id)

    async def change(self, user: User, values: dict[str, Any]) -> User:
        """Change what is not secret of a user; return it as it is then."""
        async with self._records.writing() as connection:
            await users.change(connection, user.id, values)
        await self._records.changed(user.id)
        return replace(user, **values)

    async def _known(self, email: str, password: str) -> User:
        async with self._records.reading() as connection:
            found = await users.by_email(connection, email)
        if not self._nobodys:
            self._nobodys = await self._hash(secrets.token_hex())
        user, hashed = found if found is not None else (None, self._nobodys)
        right, seconds = await self._pool.timed(self._fits, hashed, password)
        self._hashing.observe(seconds)
        if user is None or not right:
            raise BadCredentials
        if self._hasher.check_needs_rehash(hashed):
            again = await self._hash(password)
            async with self._records.writing() as connection:
                await users.change(connection, user.id, {"password": again})
        return user

    def _fits(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (Argon2Error, InvalidHashError):
            return False

    async def _hash(self, password: str) -> str:
        hashed, seconds = await self._pool.timed(self._hasher.hash, password)
        self._hashing.observe(seconds)
        return hashed

    def _count(self, metric: Any, outcome: str) -> None:
        if self._host is not None:
            self._host.bind(metric, outcome=outcome).inc()


def normal_email(email: str) -> str:
    """Return an address as it is compared.

    :raises WeakPassword: never. :raises ValueError: when it is no address.
    """
    plain = email.strip().lower()
    if len(plain) > 254 or not _EMAIL.match(plain) or ".." in plain:
        raise ValueError(f"{email[:100]!r} is no e-mail address")
    return plain


def judge_password(password: str, email: str) -> None:
    """Refuse a password that is guessed too easily; long ones need no special letters (NIST SP 800-63B).

    :raises WeakPassword: with what to do.
    """
    if not LEAST_PASSWORD <= len(password) <= MOST_PASSWORD:
        raise WeakPassword(
            f"A password of {len(password)} letters cannot be used.",
            f"Give {LEAST_PASSWORD} to {MOST_PASSWORD}; a few words do.",
        )
    plain, own = password.lower(), email.partition("@")[0]
    # A name of three letters is in many words.
    named = plain in email or (own in plain and len(own) * 2 > len(plain))
    if len(set(plain)) < 5 or named or plain in _COMMON:
        raise WeakPassword("The password is guessed too easily.", "Give a few words that do not belong together.")


_COMMON: Final = frozenset(
    "1234567890 0123456789 password12 password123 password1234 qwertyuiop qwerty123456 1q2w3e4r5t 1qaz2wsx3edc "
    "iloveyou123 letmein1234 welcome1234 administrator trustno1trustno1 passwort123 abcdefghij".split()
)
