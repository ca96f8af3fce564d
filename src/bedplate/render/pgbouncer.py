"""PgBouncer before a service's database: a thousand clients onto a hundred connections of the server.

Rendered for services whose database is told that a pooler stands between (``pooler = "transaction"``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bedplate.component import Spec
from bedplate.render.subject import Subject
from bedplate.render.yaml_text import RENDERED

__all__ = ["ENVIRONMENTS", "pgbouncer_files", "wants_pgbouncer"]


@dataclass(frozen=True, slots=True)
class Sizing:
    """How many an environment takes: clients, and connections to each server."""

    clients: int
    servers: int


ENVIRONMENTS: Mapping[str, Sizing] = {
    "development": Sizing(100, 10),
    "staging": Sizing(500, 50),
    "production": Sizing(1000, 100),
}


def wants_pgbouncer(subject: Subject) -> bool:
    """Whether a service says that a pooler stands before its database."""
    return any(map(_pooled, subject.specs))


def _pooled(spec: Spec) -> bool:
    return spec.kind == "database" and getattr(spec.settings, "pooler", "none") == "transaction"


def pgbouncer_files(subject: Subject) -> dict[str, str]:
    """Return the configuration by path; nothing when no pooler is wanted."""
    if not wants_pgbouncer(subject):
        return {}
    folder = f"pgbouncer/{subject.name}"
    files = {f"{folder}/{environment}.ini": _ini(environment, sizing) for environment, sizing in ENVIRONMENTS.items()}
    files[f"{folder}/start"] = _start(subject.name)
    return files


def _ini(environment: str, sizing: Sizing) -> str:
    return f"""; {RENDERED}
; PgBouncer of {environment}. Started by ./start, which adds databases, addresses and passwords.

; A client has a server connection for a transaction only: {sizing.clients} clients onto {sizing.servers}.
pool_mode = transaction
max_client_conn = {sizing.clients}
default_pool_size = {sizing.servers}
max_db_connections = {sizing.servers}
min_pool_size = {max(1, sizing.servers // 10)}
reserve_pool_size = 0

; Who waits longer than this for a connection is refused: an answer nobody waits for any more helps nobody.
query_wait_timeout = 10
; A transaction in which nothing happens holds a connection that others wait for.
idle_transaction_timeout = 60
server_connect_timeout = 5
server_login_retry = 1
server_lifetime = 3600
server_idle_timeout = 600
server_check_delay = 30
client_login_timeout = 15
tcp_keepalive = 1
tcp_keepidle = 30
tcp_keepintvl = 10
tcp_keepcnt = 3

; Drivers send it; it means nothing since PostgreSQL 12.
ignore_startup_parameters = extra_float_digits
; Of 1.21 and later, which know prepared statements. Bedplate's tests run 1.18, which refuses to start with this line;
; with both, `pooler` may stay "none" and statements are prepared once. Time limits are then the role's:
; ALTER ROLE … SET statement_timeout = '30s'. Not tested here.
; max_prepared_statements = 200
; ignore_startup_parameters = extra_float_digits, statement_timeout, lock_timeout, idle_in_transaction_session_timeout

log_connections = 0
log_disconnections = 0
log_pooler_errors = 1
stats_period = 60
"""


def _start(service: str) -> str:
    return f"""#!/bin/sh
# {RENDERED}
# Starts the PgBouncer of {service}: sh start production
#
#   DATA       its folder, which this writes (/var/lib/pgbouncer)
#   LISTEN     the address to listen on (127.0.0.1); empty for none, then a socket in DATA is left
#   PORT       6432
#   DATABASE   the database's name, on all servers ({service})
#   PRIMARY    "host port" of the primary, or a socket's folder and a port
#   REPLICAS   "host port host port": clients know them as DATABASE_replica1 …
#   SECRETS    the folder of two passwords (/run/secrets): database-password of {service}, which is the one on the
#              servers, too, and pgbouncer-admin-password of people, at its console
#   RUN_AS     whom it runs as when root starts it (nobody)
#   PGBOUNCER  pgbouncer
set -eu
umask 077
environment=$1
here=$(cd "$(dirname "$0")" && pwd)
data=${{DATA:-/var/lib/pgbouncer}} secrets=${{SECRETS:-/run/secrets}} program=${{PGBOUNCER:-pgbouncer}}
database=${{DATABASE:-{service}}}
template=$here/$environment.ini
[ -f "$template" ] || {{ echo "There is no $template." >&2; exit 2; }}
PATH=$PATH:/usr/sbin
quoted() {{ sed 's/"/""/g' "$secrets/$1" | tr -d '\\n'; }}
{{
    printf '"{service}" "%s"\\n' "$(quoted database-password)"
    printf '"admin" "%s"\\n' "$(quoted pgbouncer-admin-password)"
}} > "$data/users.txt"
{{
    echo "[databases]"
    set -- ${{PRIMARY:?"Set PRIMARY to host and port of the primary."}} ${{REPLICAS:-}}
    name=$database number=0
    while [ $# -ge 2 ]; do
        echo "$name = host=$1 port=$2 dbname=$database"
        shift 2
        number=$((number + 1)) name=${{database}}_replica$((number))
    done
    echo "[pgbouncer]"
    cat "$template"
    echo "listen_addr = ${{LISTEN-127.0.0.1}}"
    echo "listen_port = ${{PORT:-6432}}"
    echo "unix_socket_dir = $data"
    echo "auth_type = scram-sha-256"
    echo "auth_file = $data/users.txt"
    echo "admin_users = admin"
    echo "stats_users = {service}"
}} > "$data/pgbouncer.ini"
if [ "$(id -u)" = 0 ]; then
    run_as=${{RUN_AS:-nobody}}
    chown "$run_as" "$data" "$data/users.txt" "$data/pgbouncer.ini"
    exec "$program" -u "$run_as" "$data/pgbouncer.ini"
fi
exec "$program" "$data/pgbouncer.ini"
"""
