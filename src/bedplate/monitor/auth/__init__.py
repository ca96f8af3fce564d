"""Who may ask: bearer tokens with roles, and the guard in front of whatever is not open."""

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
