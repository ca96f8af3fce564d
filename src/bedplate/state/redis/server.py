"""What a server says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Replica", "Server"]


@dataclass(frozen=True, slots=True)
class Replica:
    """A replica as its primary sees it. :ivar lag: seconds since it last acknowledged; :ivar behind: bytes."""

    address: str
    online: bool
    lag: float
    behind: int


@dataclass(frozen=True, slots=True)
class Server:
    """A server's ``INFO``; numbers are 0 and texts empty where it does not say.

    :ivar product: ``redis`` or ``valkey``. :ivar role: ``master`` or ``replica``.
    :ivar mode: ``standalone``, ``cluster`` or ``sentinel``.
    :ivar policy: what it does when its memory is full; empty when it is not told.
    :ivar memory: bytes used. :ivar memory_limit: bytes, 0 without a limit. :ivar evicted: keys, ever.
    :ivar run_id: changes with each start of the server. :ivar offset: bytes of its replication stream.
    """

    product: str = ""
    version: str = ""
    mode: str = ""
    role: str = ""
    policy: str = ""
    run_id: str = ""
    memory: int = 0
    memory_limit: int = 0
    evicted: int = 0
    expired: int = 0
    keys: int = 0
    clients: int = 0
    offset: int = 0
    uptime: int = 0
    saved: bool = True
    linked: bool = True
    replicas: tuple[Replica, ...] = ()

    @property
    def evicts(self) -> bool:
        """Whether it throws keys away that nobody asked to, once its memory is full."""
        return self.policy not in ("", "noeviction")

    @classmethod
    def of(cls, text: str) -> Server:
        """Read the reply to ``INFO``."""
        pairs = (line.partition(":") for line in text.splitlines() if line and not line.startswith("#"))
        info = {name: value for name, _, value in pairs}
        valkey = "valkey_version" in info or info.get("server_name") == "valkey"
        offset = _int(info, "master_repl_offset")
        return cls(
            product="valkey" if valkey else "redis",
            version=info.get("valkey_version") or info.get("redis_version", ""),
            mode=info.get("server_mode") or info.get("redis_mode", ""),
            role="replica" if info.get("role") == "slave" else info.get("role", ""),
            policy=info.get("maxmemory_policy", ""),
            run_id=info.get("run_id", ""),
            memory=_int(info, "used_memory"),
            memory_limit=_int(info, "maxmemory"),
            evicted=_int(info, "evicted_keys"),
            expired=_int(info, "expired_keys"),
            keys=sum(int(_fields(value).get("keys", "0")) for name, value in info.items() if _is_db(name)),
            clients=_int(info, "connected_clients"),
            offset=offset,
            uptime=_int(info, "uptime_in_seconds"),
            saved=info.get("rdb_last_bgsave_status", "ok") == "ok" and info.get("aof_last_write_status", "ok") == "ok",
            linked=info.get("master_link_status", "up") == "up",
            replicas=tuple(
                _replica(_fields(value), offset)
                for name, value in info.items()
                if name.startswith("slave") and name[5:].isdigit()
            ),
        )

    def to_json(self) -> dict[str, Any]:
        """What people are shown of it."""
        return {
            "product": self.product,
            "version": self.version,
            "mode": self.mode,
            "role": self.role,
            "uptimeSeconds": self.uptime,
            "memoryBytes": self.memory,
            "memoryLimitBytes": self.memory_limit,
            "evictionPolicy": self.policy,
            "evictedKeys": self.evicted,
            "expiredKeys": self.expired,
            "keys": self.keys,
            "clients": self.clients,
            "persistenceOk": self.saved,
            "replicas": [
                {
                    "address": replica.address,
                    "online": replica.online,
                    "lagSeconds": replica.lag,
                    "behindBytes": replica.behind,
                }
                for replica in self.replicas
            ],
        }


def _int(info: Mapping[str, str], name: str) -> int:
    try:
        return int(info.get(name, "0"))
    except ValueError:
        return 0


def _fields(value: str) -> dict[str, str]:
    return {name: rest for name, _, rest in (part.partition("=") for part in value.split(","))}


def _is_db(name: str) -> bool:
    return name.startswith("db") and name[2:].isdigit()


def _replica(fields: Mapping[str, str], offset: int) -> Replica:
    return Replica(
        address=f"{fields.get('ip', '')}:{fields.get('port', '')}",
        online=fields.get("state") == "online",
        lag=float(_int(fields, "lag")),
        behind=max(0, offset - _int(fields, "offset")),
    )
