"""HTTP: the one fused middleware, its metrics, access log, security headers and problem details."""

from bedplate.telemetry.http.component import Http
from bedplate.telemetry.http.middleware import Guard, HttpMiddleware
from bedplate.telemetry.http.problems import install_problem_handlers, problem_response
from bedplate.telemetry.http.proxies import TrustedProxies
from bedplate.telemetry.http.settings import HttpSettings

__all__ = [
    "Guard",
    "Http",
    "HttpMiddleware",
    "HttpSettings",
    "TrustedProxies",
    "install_problem_handlers",
    "problem_response",
]
