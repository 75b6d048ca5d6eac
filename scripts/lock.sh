#!/usr/bin/env bash
# Renews requirements/dev.lock, runtime.lock and build.lock from pyproject.toml: every version and hash, no registry host.
# Pins stay unless a name is given:  scripts/lock.sh [--upgrade | --upgrade-package NAME]
# Needs uv (pip install uv). Both locks serve CPython 3.11 and 3.12. Install with: pip install --no-deps --require-hashes -r FILE
set -euo pipefail
cd "$(dirname "$0")/.."
uv=${UV:-uv}
common=(--override requirements/overrides.txt --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet)
"$uv" pip compile pyproject.toml --group dev "${common[@]}" "$@" --output-file requirements/dev.lock
# The runtime lock takes the dev lock's versions: what was tested is what runs.
grep -E '^[a-z0-9._-]+==' requirements/dev.lock | sed 's/ \\$//' > build-constraints.tmp
trap 'rm -f build-constraints.tmp' EXIT
"$uv" pip compile pyproject.toml "${common[@]}" --constraint build-constraints.tmp --output-file requirements/runtime.lock
sed -i '/-c build-constraints.tmp/d' requirements/runtime.lock
# What builds the wheel, in the dev lock's version.
sed -n '/^setuptools==/,/[^\\]$/p' requirements/dev.lock >requirements/build.lock
if grep -nE 'https?://' requirements/dev.lock requirements/runtime.lock requirements/build.lock; then
    echo "lock.sh: a host stands in a lock file (above): take it out" >&2
    exit 1
fi
