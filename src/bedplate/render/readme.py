"""The page beside the rendered files: what is here, how it is brought up, what nobody has tried yet."""

from __future__ import annotations

from collections.abc import Sequence

from bedplate.render.compose import IMAGES
from bedplate.render.options import Options
from bedplate.render.pgbouncer import wants_pgbouncer
from bedplate.render.redis import wants_redis
from bedplate.render.subject import Container, Subject
from bedplate.render.yaml_text import RENDERED

__all__ = ["readme"]


def readme(subjects: Sequence[Subject], containers: Sequence[Container], options: Options) -> str:
    """Return ``README.md``."""
    names = ", ".join(subject.title for subject in subjects)
    targets = " ".join(each.target for each in containers)
    counts = "\n".join(_counts(subject) for subject in subjects)
    versions = "\n".join(f"| {name} | `{image}:{version}` |" for name, (image, version) in IMAGES.items())
    return f"""<!-- {RENDERED} -->
# Deployment of {names}

Everything in this folder is rendered from what components declare. Nothing is written by hand: change the declaration
and render again, where the project is. `rendered.txt` lists the files; `--check` compares them.

```console no-run
$ bedplate render {targets}
$ bedplate render {targets} --check
```

| Service | Alerts | Dashboards | Panels |
| --- | --- | --- | --- |
{counts}

| Path | What it is |
| --- | --- |
| `compose.yml`, `Dockerfile` | The services; with the profile `monitoring` also what watches them |
| `prometheus/` | What is scraped, the rules, and a test of every rule for `promtool test rules` |
| `alertmanager/` | Who hears of what; a critical alert keeps warnings of the same component quiet |
| `grafana/` | Data sources, dashboards, and the runbook as a page that alerts link to |
| `loki/`, `alloy/` | The log records of the services, kept for 30 days |
| `runbooks/` | The same runbook as a file |
{_row(subjects)}| `secrets/` | Where you put secrets; git and images leave it out |

## Bring it up

In this folder. The first line makes a token for the scraper, the second the list of those who may ask the services;
for each person add another entry to it.

```console no-run
$ bedplate token prometheus --role metrics > scraper
$ sed -n 's/^token *//p' scraper | tr -d '\\n' > secrets/scrape-token
$ sed -n 's/^entry *//p' scraper > secrets/tokens && rm scraper
$ printf 'https://hooks.slack.com/…' > secrets/slack-webhook-url
$ echo 'GRAFANA_ADMIN_PASSWORD=…' > .env
$ chmod 644 secrets/* && docker compose --profile monitoring up --detach --build --wait
```

Grafana is at {options.grafana_url}, Prometheus at http://localhost:9090, Alertmanager at http://localhost:9093. There
is no default password: without `GRAFANA_ADMIN_PASSWORD` nothing starts. Containers read `secrets/` as other users than
you, so it and its files must be readable; to keep other people of the machine out, close the folder above this one.

After rendering anew, let Prometheus and Alertmanager read their files again; Grafana looks at its dashboards every 30
seconds by itself:

```console no-run
$ curl -X POST http://localhost:9090/-/reload
$ curl -X POST http://localhost:9093/-/reload
```
{_redis(subjects)}
Other receivers than Slack: give Alertmanager a file of your own, or let the services notify by themselves.

## What was tried, and what was not

The project's tests give the rules and their tests to `promtool`, the configuration to `promtool` and `amtool`, and the
dashboards to the compiler with Grafana's published schema; a live Prometheus scrapes a service with this configuration
and answers the query of every panel. `compose.yml` is held against a schema of the Compose specification.

Not tried, because Docker, Grafana, Loki and Alloy were not at hand: that the images below start, that Grafana draws the
dashboards as meant, that Alloy ships the records, and the one LogQL query (the row *Log* of each overview). To see for
yourself:

```console no-run
$ docker compose --profile monitoring config --quiet
$ docker compose run --rm --no-deps --entrypoint promtool prometheus check config /etc/prometheus/prometheus.yml
$ docker compose run --rm --no-deps loki -config.file=/etc/loki/loki.yml -verify-config
$ docker compose run --rm --no-deps alloy fmt /etc/alloy/config.alloy
$ docker compose ps
$ curl http://localhost:3100/loki/api/v1/label/service/values
```

All of `docker compose ps` should be healthy; the last command should name your services; in Grafana, *Dashboards* has a
folder for each service. Another version of an image is chosen by a variable in `.env`, such as `GRAFANA_VERSION`.

| Image | Version |
| --- | --- |
{versions}
"""


def _counts(subject: Subject) -> str:
    panels = sum(len(spec.panels) for spec in subject.specs)
    return f"| {subject.name} | {len(subject.rules)} | {2 + len(subject.dashboards)} | {panels} declared |"


def _row(subjects: Sequence[Subject]) -> str:
    redis = "| `redis/` | Redis or Valkey for what instances share, in three environments: cache, state, Sentinels |\n"
    pooler = "| `pgbouncer/` | PgBouncer before the database and its replicas, in three environments |\n"
    rows = (redis, any(map(wants_redis, subjects))), (pooler, any(map(wants_pgbouncer, subjects)))
    return "".join(row for row, wanted in rows if wanted)


def _redis(subjects: Sequence[Subject]) -> str:
    names = [subject.name for subject in subjects if wants_redis(subject)]
    if not names:
        return ""
    service = names[0]
    return f"""
Redis keeps what the instances of {" and of ".join(names)} share, on machines of your choice: a primary and a replica
for state, three Sentinels, and one server for the cache. `start` says what it takes; Compose starts none of them.

```console no-run
$ for name in redis-password redis-admin-password redis-replication-password; do
>     openssl rand -hex 24 | tr -d '\\n' > secrets/$name
> done
$ export SECRETS=$PWD/secrets
$ DATA=/var/lib/redis/state sh redis/{service}/start production state                               # the primary
$ DATA=/var/lib/redis/state PRIMARY="redis-1 6379" sh redis/{service}/start production state        # its replica
$ DATA=/var/lib/redis/sentinel PRIMARY="redis-1 6379" sh redis/{service}/start production sentinel  # three times
$ DATA=/var/lib/redis/cache PORT=6380 sh redis/{service}/start production cache
```

The service then gets `REDIS_URL=redis+sentinel://{service}:<redis-password>@a:26379,b:26379,c:26379/state/0` with
`?sentinel_username=default&sentinel_password=<redis-password>`.
"""
