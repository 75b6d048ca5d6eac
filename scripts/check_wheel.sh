#!/bin/sh
# Builds the wheel and installs it into empty environments, both ways (docs/adr/0008): from the hashed lock, and by a plain `pip install`.
# Each installed carbonnode must run outside the checkout: a calculator, a devnet of one validator, its status, its end.
#   scripts/check_wheel.sh [lock|plain|both, default both]
set -eu
cd "$(dirname "$0")/.."
way=${1:-both}
work=$(mktemp -d "${TMPDIR:-/tmp}/carbonnode-wheel.XXXXXX")
trap 'rm -rf "$work"' EXIT
python=$(sh scripts/find-python)

echo "building the wheel"
rm -rf dist
"$python" -m venv "$work/build"
"$work/build/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/build.lock
# A copy, so that no build product lands in the checkout.
mkdir "$work/source"
cp -R LICENSE README.md pyproject.toml setup.py carbonnode contracts genesis "$work/source/"
"$work/build/bin/python" -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist "$work/source"
wheel=$(ls dist/carbonnode-*.whl)
echo "built $wheel"

try() {
    bin="$work/$1/bin"
    cd "$work"
    "$bin/carbonnode" --version
    "$bin/python" -c 'import carbonnode.resources as r, sys; p = r.contract_source("matching"); sys.exit(r.genesis_dir().is_relative_to(sys.prefix) is False)'
    "$bin/carbonnode" devnet up --validators 1 --users 0 --dir "$work/net-$1" --json >"$work/up-$1.json"
    "$bin/carbonnode" devnet status --dir "$work/net-$1"
    "$bin/carbonnode" devnet down --dir "$work/net-$1"
    cd - >/dev/null
}

if [ "$way" != plain ]; then
    echo "installing from the hashed lock into an empty environment"
    "$python" -m venv "$work/lock"
    "$work/lock/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/runtime.lock
    "$work/lock/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps "$wheel"
    try lock
fi
if [ "$way" != lock ]; then
    echo "plain pip install into an empty environment"
    "$python" -m venv "$work/plain"
    if "$work/plain/bin/python" -m pip install --quiet --disable-pip-version-check "$wheel"; then
        try plain
    else
        echo "plain pip install needs a C compiler and gmp's headers here (docs/adr/0008); the lock is the way" >&2
        exit 1
    fi
fi
echo "the wheel works"
