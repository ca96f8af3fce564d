"""What a test of a service or a component needs: a driven clock, a harness, and the conformance suite."""

from bedplate.testing.clock import ManualClock
from bedplate.testing.conformance import CASES, ConformanceError, check_component
from bedplate.testing.harness import Harness, running, settings

__all__ = ["CASES", "ConformanceError", "Harness", "ManualClock", "check_component", "running", "settings"]
