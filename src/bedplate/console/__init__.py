"""What people see of a service: pages derived from what its components declare."""

from bedplate.console.component import Console
from bedplate.console.settings import ConsoleSettings, OidcSettings

__all__ = ["Console", "ConsoleSettings", "OidcSettings"]
