"""Sign-in with an OpenID Connect provider: code with PKCE, a state bound to the browser, a nonce in the token."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bedplate.console.settings import OidcSettings
from bedplate.declarations import AccessRole, Actor
from bedplate.problems import BedplateError

__all__ = ["Oidc", "OidcError", "Pending", "actor_of", "role_of"]

#: Seconds that somebody has to sign in at the provider.
PATIENCE = 600.0
_PENDING = 1_000
_KEPT = 3_600.0
_TIMEOUT = 10.0
_LONGEST_NAME = 64


class OidcError(BedplateError):
    """The provider could not be asked, or what it says cannot be believed or is not enough."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A sign-in that has begun: what must come back, and where to go on."""

    nonce: str
    verifier: str
    go_on: str
    redirect: str
    until: float


class Oidc:
    """Speaks with one provider. What it publishes of itself is kept for an hour.

    :param monotonic: the time by which a sign-in that was begun expires.
    """

    def __init__(self, settings: OidcSettings, monotonic: Callable[[], float]) -> None:
        self.settings = settings
        self._monotonic = monotonic
        self._pending: OrderedDict[str, Pending] = OrderedDict()
        self._published: tuple[float, Mapping[str, Any]] | None = None
        self._keys: tuple[float, Any] | None = None

    async def begin(self, go_on: str, redirect: str) -> tuple[str, str]:
        """Return where to send the browser, and the state that must come back with it.

        :raises OidcError: when the provider cannot be reached.
        """
        published = await self._metadata()
        state = secrets.token_urlsafe(24)
        pending = Pending(
            secrets.token_urlsafe(24), secrets.token_urlsafe(48), go_on, redirect, self._monotonic() + PATIENCE
        )
        self._pending[state] = pending
        while len(self._pending) > _PENDING:
            self._pending.popitem(last=False)
        async with self._client(redirect) as client:
            address, _ = client.create_authorization_url(
                published["authorization_endpoint"],
                state=state,
                nonce=pending.nonce,
                code_verifier=pending.verifier,
            )
        return str(address), state

    async def finish(self, state: str, code: str) -> tuple[Mapping[str, Any], str]:
        """Return what the provider says of who came back, and where they go on.

        :raises OidcError: when this is no sign-in that began here, or the provider's word is not good.
        """
        pending = self._pending.pop(state, None)
        if pending is None or self._monotonic() >= pending.until:
            raise OidcError("This sign-in did not begin here, or took too long.", "Begin again.")
        published = await self._metadata()
        try:
            async with self._client(pending.redirect) as client:
                token = await client.fetch_token(
                    published["token_endpoint"],
                    code=code,
                    code_verifier=pending.verifier,
                    grant_type="authorization_code",
                )
        except Exception as error:
            raise OidcError("The provider did not take the sign-in.", f"It said: {str(error)[:200]}") from error
        claims = await self._believed(str(token.get("id_token", "")), pending.nonce)
        return claims, pending.go_on

    async def _believed(self, token: str, nonce: str) -> Mapping[str, Any]:
        """Return the claims of an id token that the provider signed for us, now, and for this sign-in."""
        from joserfc import jwt
        from joserfc.errors import JoseError

        registry = jwt.JWTClaimsRegistry(
            leeway=60,
            iss={"essential": True, "value": self.settings.issuer},
            aud={"essential": True, "value": self.settings.client_id},
            exp={"essential": True},
            sub={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        for fresh in (False, True):
            try:
                decoded = jwt.decode(token, await self._key_set(fresh=fresh), algorithms=_ALGORITHMS)
                registry.validate(decoded.claims)
            except (JoseError, ValueError) as error:
                # The provider may have changed its keys since they were read.
                if fresh:
                    raise OidcError("The provider's token cannot be believed.", f"{type(error).__name__}.") from error
            else:
                return decoded.claims
        raise AssertionError

    async def _key_set(self, *, fresh: bool) -> Any:
        from joserfc.jwk import KeySet

        now = self._monotonic()
        if self._keys is None or fresh or now - self._keys[0] > _KEPT:
            published = await self._metadata()
            self._keys = (now, KeySet.import_key_set(await self._read(str(published["jwks_uri"]))))
        return self._keys[1]

    async def _metadata(self) -> Mapping[str, Any]:
        now = self._monotonic()
        if self._published is None or now - self._published[0] > _KEPT:
            address = f"{self.settings.issuer.rstrip('/')}/.well-known/openid-configuration"
            document = await self._read(address)
            if document.get("issuer") != self.settings.issuer:
                raise OidcError("The provider calls itself by another name.", f"It is {document.get('issuer')!r}.")
            self._published = (now, document)
        return self._published[1]

    async def _read(self, address: str) -> Any:
        import httpx2

        try:
            async with httpx2.AsyncClient(timeout=_TIMEOUT) as client:
                answer = await client.get(address, headers={"accept": "application/json"})
                answer.raise_for_status()
                return answer.json()
        except (httpx2.HTTPError, ValueError) as error:
            what = "The OpenID Connect provider cannot be reached."
            raise OidcError(what, f"Try again, or sign in with a token. {type(error).__name__}.") from error

    def _client(self, redirect: str) -> Any:
        try:
            from authlib.integrations.httpx_client import AsyncOAuth2Client
        except ModuleNotFoundError as error:
            raise OidcError("Sign-in with a provider needs Authlib.", "Install bedplate[oidc].") from error
        secret = self.settings.client_secret
        return AsyncOAuth2Client(
            client_id=self.settings.client_id,
            client_secret=secret.get_secret_value() if secret is not None else None,
            scope=self.settings.scopes,
            redirect_uri=redirect,
            code_challenge_method="S256",
            timeout=_TIMEOUT,
        )


#: Signatures by a private key of the provider; never "none", and never a secret that we know as well.
_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


def actor_of(claims: Mapping[str, Any], settings: OidcSettings) -> Actor:
    """Return who somebody is to a service, by what the provider says.

    :raises OidcError: when they have no role there.
    """
    name = str(claims.get(settings.name_claim) or claims.get("sub") or "")[:_LONGEST_NAME]
    role = role_of(claims.get(settings.role_claim), settings)
    if not name or role is None:
        raise OidcError(
            f"{name or 'Somebody without a name'} has no role here.",
            f"An admin lists a value of the claim {settings.role_claim!r} under viewers, operators or admins.",
        )
    return Actor(name, role)


def role_of(claim: object, settings: OidcSettings) -> AccessRole | None:
    """Return the greatest role that a claim gives, None for none."""
    held = {str(one) for one in claim} if isinstance(claim, list | tuple | set) else {str(claim)} if claim else set()
    lists: tuple[tuple[AccessRole, tuple[str, ...]], ...] = (
        ("admin", settings.admins),
        ("operator", settings.operators),
        ("viewer", settings.viewers),
    )
    return next((role for role, names in lists if "*" in names or not held.isdisjoint(names)), None)
