"""Loki keeps log records; Alloy brings them there from the files that services write."""

from __future__ import annotations

from collections.abc import Sequence

from bedplate.render.subject import Container
from bedplate.render.yaml_text import RENDERED, yaml_text

__all__ = ["LOG_FOLDER", "RETENTION", "alloy", "loki"]

#: Where services write ``app.log`` in their containers, each in a folder of its name.
LOG_FOLDER = "/var/log/bedplate"
#: How long measurements and records are kept.
RETENTION = "30d"


def loki() -> str:
    """Return ``loki.yml``: one process, records in files, kept for 30 days."""
    document = {
        "auth_enabled": False,
        "server": {"http_listen_port": 3100, "log_level": "warn"},
        "common": {
            "instance_addr": "127.0.0.1",
            "path_prefix": "/loki",
            "replication_factor": 1,
            "ring": {"kvstore": {"store": "inmemory"}},
            "storage": {"filesystem": {"chunks_directory": "/loki/chunks", "rules_directory": "/loki/rules"}},
        },
        "schema_config": {
            "configs": [
                {
                    "from": "2024-01-01",
                    "store": "tsdb",
                    "object_store": "filesystem",
                    "schema": "v13",
                    "index": {"prefix": "index_", "period": "24h"},
                }
            ]
        },
        "limits_config": {
            "retention_period": "720h",
            "reject_old_samples": True,
            "reject_old_samples_max_age": "168h",
            "volume_enabled": True,
        },
        "compactor": {
            "working_directory": "/loki/compactor",
            "retention_enabled": True,
            "delete_request_store": "filesystem",
        },
        "analytics": {"reporting_enabled": False},
    }
    return yaml_text(document)


def alloy(containers: Sequence[Container]) -> str:
    """Return ``config.alloy``: every container's records to Loki, with ``service`` and ``level`` as labels."""
    targets = "".join(f'    {{ __path__ = "{LOG_FOLDER}/{each.name}/app.log" }},\n' for each in containers)
    return f"""// {RENDERED}

logging {{
  level  = "warn"
  format = "logfmt"
}}

// Rotated files are not named: what they hold was read while they were app.log.
local.file_match "services" {{
  path_targets = [
{targets}  ]
}}

loki.source.file "services" {{
  targets    = local.file_match.services.targets
  forward_to = [loki.process.records.receiver]

  file_watch {{
    min_poll_frequency = "250ms"
    max_poll_frequency = "2s"
  }}
}}

loki.process "records" {{
  forward_to = [loki.write.loki.receiver]

  stage.json {{
    expressions = {{ service = "", level = "", timestamp = "" }}
  }}

  stage.timestamp {{
    source = "timestamp"
    format = "RFC3339Nano"
  }}

  // Few values each: what has many, such as request_id, is found in the record itself.
  stage.labels {{
    values = {{ service = "", level = "" }}
  }}

  stage.label_drop {{
    values = ["filename"]
  }}
}}

loki.write "loki" {{
  endpoint {{
    url = "http://loki:3100/loki/api/v1/push"
  }}
}}
"""
