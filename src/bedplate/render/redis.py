"""Redis for services that share state: one server for what may be forgotten, one for what must not, with a replica and
Sentinels; for development, staging and production.

What differs between environments is the memory and how closely the server is watched. What never differs: people come
in by name, services may do nothing that harms others, and the two roles are two servers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bedplate.render.subject import Subject
from bedplate.render.yaml_text import RENDERED

__all__ = ["ENVIRONMENTS", "redis_files", "wants_redis"]

Role = Literal["cache", "state"]

#: What services may not do: what empties, stops, spies on or reconfigures a server. ``INFO`` tells them how it is.
_RIGHTS = "+@all -@admin -@dangerous -function -script|flush -script|kill -script|debug +info"
#: The rights that Sentinel's documentation asks for.
_SENTINEL = (
    "allchannels +multi +slaveof +ping +exec +subscribe +config|rewrite +role +publish +info +client|setname "
    "+client|kill +script|kill"
)

#: What services may ask of a Sentinel.
_ASKING = (
    "+@connection +@pubsub +info +sentinel|master +sentinel|masters +sentinel|get-master-addr-by-name "
    "+sentinel|replicas +sentinel|sentinels"
)


@dataclass(frozen=True, slots=True)
class Sizing:
    """How much an environment may take: memory of each role, replication backlog, and when a command is slow (µs)."""

    cache: str
    state: str
    backlog: str
    slow: int


ENVIRONMENTS: Mapping[str, Sizing] = {
    "development": Sizing("256mb", "256mb", "1mb", 50_000),
    "staging": Sizing("2gb", "2gb", "16mb", 20_000),
    "production": Sizing("8gb", "8gb", "64mb", 10_000),
}


def wants_redis(subject: Subject) -> bool:
    """Whether a service shares state: by a Redis, or in one process until it has one."""
    return any(spec.kind in ("redis", "memory") for spec in subject.specs)


def redis_files(subject: Subject) -> dict[str, str]:
    """Return the configuration of a service's servers by path; nothing when it shares no state."""
    if not wants_redis(subject):
        return {}
    folder = f"redis/{subject.name}"
    files = {f"{folder}/start": _start(subject.name)}
    for environment, sizing in ENVIRONMENTS.items():
        files[f"{folder}/{environment}/cache.conf"] = _server("cache", environment, sizing)
        files[f"{folder}/{environment}/state.conf"] = _server("state", environment, sizing)
        files[f"{folder}/{environment}/sentinel.conf"] = _sentinel(environment)
    return files


def _server(role: Role, environment: str, sizing: Sizing) -> str:
    cache = role == "cache"
    memory = sizing.cache if cache else sizing.state
    purpose = (
        "what may be forgotten: when it is full, the least recently used makes room"
        if cache
        else "what must not be lost: when it is full, it refuses to grow"
    )
    policy = "allkeys-lru" if cache else "noeviction"
    production = environment == "production"
    return f"""# {RENDERED}
# {role.capitalize()} of {environment}: {purpose}. Started by ../start, which adds users, passwords and addresses.

# Memory
maxmemory {memory}
maxmemory-policy {policy}
maxmemory-samples {10 if production else 5}
lazyfree-lazy-eviction yes
lazyfree-lazy-expire yes
lazyfree-lazy-server-del yes
lazyfree-lazy-user-del yes
replica-lazy-flush yes

# What outlives a restart: a snapshot (RDB), and every write of the last second at the latest (AOF)
save 3600 1 300 100 60 10000
stop-writes-on-bgsave-error {"no" if cache else "yes"}
rdbcompression yes
rdbchecksum yes
dbfilename dump.rdb
appendonly yes
appendfsync everysec
no-appendfsync-on-rewrite {"yes" if cache else "no"}
auto-aof-rewrite-percentage 100
auto-aof-rewrite-min-size 64mb
aof-use-rdb-preamble yes

# Replication. A write is acknowledged before a replica has it: a fail-over may lose the latest. With two replicas,
# `min-replicas-to-write 1` keeps a primary that is cut off from writing on alone; with one it would stop with it.
replica-read-only yes
replica-serve-stale-data yes
repl-diskless-sync yes
repl-diskless-sync-delay 1
repl-backlog-size {sizing.backlog}
min-replicas-to-write 0
min-replicas-max-lag 10

# Clients. One that does not read what it asked for is cut off before it takes the memory.
maxclients 10000
timeout 0
tcp-keepalive 60
tcp-backlog 511
client-output-buffer-limit normal 256mb 64mb 60
client-output-buffer-limit replica 256mb 64mb 60
client-output-buffer-limit pubsub 32mb 8mb 60
tracking-table-max-keys 1000000

# What nobody needs who works
enable-debug-command no
enable-module-command no
enable-protected-configs no
notify-keyspace-events ""

# What was slow: SLOWLOG GET, LATENCY LATEST
slowlog-log-slower-than {sizing.slow}
slowlog-max-len {1024 if production else 256}
latency-monitor-threshold {100 if production else 0}
latency-tracking yes
acllog-max-len 256
loglevel {"debug" if environment == "development" else "notice"}
"""


def _sentinel(environment: str) -> str:
    after, timeout = ("2000", "10000") if environment == "development" else ("5000", "60000")
    return f"""# {RENDERED}
# Sentinel of {environment}; three of them on machines of their own, two of which must agree. Started by ../start, which
# copies this once: Sentinel keeps what it has learnt in its copy.
sentinel monitor NAME PRIMARY 2
sentinel down-after-milliseconds NAME {after}
sentinel failover-timeout NAME {timeout}
sentinel parallel-syncs NAME 1
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel deny-scripts-reconfig yes
"""


def _start(service: str) -> str:
    return f"""#!/bin/sh
# {RENDERED}
# Starts a server of {service}: sh start production state | cache | sentinel
#
#   DATA           its folder, kept from one start to the next (/data)
#   PORT           6379, of a Sentinel 26379
#   ANNOUNCE       the host name or address under which the others reach it
#   PRIMARY        "host port" of the primary: of a replica at its first start, of a Sentinel; empty for the primary
#   NAME           what Sentinels call the primary (the role: state)
#   SECRETS        the folder of three passwords (/run/secrets): redis-password of {service}, redis-admin-password of
#                  people, redis-replication-password of replicas and Sentinels
#   REDIS_SERVER   redis-server, or valkey-server
set -eu
umask 077
environment=$1 role=$2
here=$(cd "$(dirname "$0")" && pwd)
data=${{DATA:-/data}} secrets=${{SECRETS:-/run/secrets}} server=${{REDIS_SERVER:-redis-server}}
name=${{NAME:-state}} primary=${{PRIMARY:-}} announce=${{ANNOUNCE:-}}
template=$here/$environment/$role.conf
[ -f "$template" ] || {{ echo "There is no $template." >&2; exit 2; }}
replication=$(cat "$secrets/redis-replication-password")
hashed() {{ printf %s "$(cat "$secrets/$1")" | sha256sum | cut -d ' ' -f 1; }}

if [ "$role" = sentinel ]; then
    conf=$data/sentinel.conf
    if [ ! -f "$conf" ]; then
        [ -n "$primary" ] || {{ echo "Set PRIMARY to host and port of the primary." >&2; exit 2; }}
        {{
            echo "port ${{PORT:-26379}}"
            echo "dir $data"
            [ -z "$announce" ] || echo "sentinel announce-ip $announce"
            # Host names are resolved from the first line on that has one.
            grep '^sentinel .*-hostnames ' "$template"
            grep '^sentinel ' "$template" | grep -v -e '-hostnames ' | sed "s/ NAME / $name /; s/ PRIMARY / $primary /"
            echo "sentinel auth-user $name replication"
            echo "sentinel auth-pass $name $replication"
            echo "user default on #$(hashed redis-password) &* {_ASKING}"
            echo "user admin on #$(hashed redis-admin-password) ~* &* +@all"
            echo "user replication on #$(hashed redis-replication-password) ~* &* +@all"
            echo "sentinel sentinel-user replication"
            echo "sentinel sentinel-pass $replication"
        }} > "$conf"
    fi
    exec "$server" "$conf" --sentinel
fi

conf=$data/redis.conf
# Whom it follows Sentinel decides, and writes into this file; the rest is made anew at each start.
if [ -f "$conf" ]; then
    follows=$(grep '^replicaof ' "$conf" || true)
else
    follows=${{primary:+replicaof $primary}}
fi
{{
    echo "user default off"
    echo "user {service} on #$(hashed redis-password) ~* &* {_RIGHTS}"
    echo "user admin on #$(hashed redis-admin-password) ~* &* +@all"
    echo "user replication on #$(hashed redis-replication-password) {_SENTINEL} +psync +replconf"
}} > "$data/users.acl"
{{
    echo "include $template"
    echo "port ${{PORT:-6379}}"
    echo "dir $data"
    echo "aclfile $data/users.acl"
    echo "masteruser replication"
    echo "masterauth $replication"
    [ -z "$announce" ] || echo "replica-announce-ip $announce"
    [ -z "$follows" ] || echo "$follows"
}} > "$conf"
exec "$server" "$conf"
"""
