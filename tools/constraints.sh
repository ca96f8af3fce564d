#!/usr/bin/env bash
# Resolves the newest versions of everything in a fresh environment and writes them, versions only, to constraints.txt.
set -euo pipefail
cd "$(dirname "$0")/.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

"${PYTHON:-python3}" -m venv "$scratch/venv"
services=()
for manifest in services/*/pyproject.toml; do
    services+=(-e "$(dirname "$manifest")")
done
"$scratch/venv/bin/python" -m pip install --quiet --disable-pip-version-check -e '.[dev]' "${services[@]}"
{
    echo "# The versions that everything is tested with. Written by \`make constraints\`."
    "$scratch/venv/bin/python" -m pip freeze --exclude-editable | grep -E '^[A-Za-z0-9._-]+==[^ ]+$' | LC_ALL=C sort -f
} >"$scratch/constraints.txt"
cp "$scratch/constraints.txt" constraints.txt
echo "constraints.txt: $(grep -c == constraints.txt) versions"
