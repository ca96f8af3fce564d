"""What others read: files for Prometheus, Alertmanager, Grafana, Loki, Alloy and Compose, and runbooks.

Everything is derived from what components declare. :func:`render` is pure: the same services and options give the same
files, byte by byte, so what is committed can be compared with what the code says.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bedplate.render.files import Difference, compare, write
    from bedplate.render.options import Options
    from bedplate.render.rendering import render
    from bedplate.render.subject import Container, Subject

__all__ = ["Container", "Difference", "Options", "Subject", "compare", "render", "write"]

#: Where names live. They are looked up when first used: whoever asks for the options need not import what renders.
_HOMES = {
    "Container": "subject",
    "Difference": "files",
    "Options": "options",
    "Subject": "subject",
    "compare": "files",
    "render": "rendering",
    "write": "files",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value
