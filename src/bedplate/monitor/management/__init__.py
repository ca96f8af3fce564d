"""The API through which operators see and steer a service."""

from bedplate.monitor.management.component import Management
from bedplate.monitor.management.settings import ManagementSettings

__all__ = ["Management", "ManagementSettings"]
