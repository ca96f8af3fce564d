"""What others read: files for Prometheus, Alertmanager, Grafana, Loki, Alloy and Compose, and runbooks.

Everything is derived from what components declare. :func:`render` is pure: the same services and options give the same
files, byte by byte, so what is committed can be compared with what the code says.
"""

from bedplate.render.files import Difference, compare, write
from bedplate.render.rendering import render
from bedplate.render.subject import Container, Options, Subject

__all__ = ["Container", "Difference", "Options", "Subject", "compare", "render", "write"]
