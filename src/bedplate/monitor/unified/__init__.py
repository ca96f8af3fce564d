"""How the service is as a whole: health and alerts together, on one page."""

from bedplate.monitor.unified.component import Unified

__all__ = ["Unified"]
