"""Who may ask: bearer tokens with roles, and the guard in front of whatever is not open."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bedplate.monitor.auth.authenticator import Authenticator
    from bedplate.monitor.auth.routing import GuardedRoute, ProblemRouter, secure
    from bedplate.monitor.auth.settings import AuthSettings
    from bedplate.monitor.auth.tokens import Grant, Identity, Token, mint

__all__ = [
    "AuthSettings",
    "Authenticator",
    "Grant",
    "GuardedRoute",
    "Identity",
    "ProblemRouter",
    "Token",
    "mint",
    "secure",
]

#: Where names live. They are looked up when first used: who only mints a token need not import a web framework.
_HOMES = {
    "AuthSettings": "settings",
    "Authenticator": "authenticator",
    "Grant": "tokens",
    "GuardedRoute": "routing",
    "Identity": "tokens",
    "ProblemRouter": "routing",
    "Token": "tokens",
    "mint": "tokens",
    "secure": "routing",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value
