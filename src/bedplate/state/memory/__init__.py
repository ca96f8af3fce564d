"""What primitives share when there is one process: the data in it, with the meaning that Redis gives it."""

from bedplate.state.memory.component import Memory
from bedplate.state.memory.keyspace import Keyspace
from bedplate.state.memory.settings import MemorySettings

__all__ = ["Keyspace", "Memory", "MemorySettings"]
