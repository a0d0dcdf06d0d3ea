#!/bin/sh
# Resolves the dependencies of pyproject.toml into the locks of requirements/ (serve: one machine, dev: tests and checks,
# cluster: several machines, ray: several that Ray places) and of scripts/deploy, for every platform and Python at once. `make lock ARGS=--upgrade` takes newer versions; without it the locked ones stay where they can.
set -eu
cd "$(dirname "$0")/.."
tool=.cache/lock
if ! "$tool/bin/uv" --version >/dev/null 2>&1; then
    "$(sh scripts/find_python.sh)" -m venv --clear "$tool"
    "$tool/bin/pip" install --quiet --disable-pip-version-check 'uv>=0.9'
fi
compile_for() {
    "$tool/bin/uv" pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version "$@"
}
compile() {
    compile_for 3.11 "$@"
}
compile pyproject.toml requirements/build.in -o requirements/serve.txt "$@"
compile pyproject.toml requirements/build.in --extra redis --extra postgresql --extra sherpa --extra otel --extra zeroconf --group dev \
    -c requirements/serve.txt -o requirements/dev.txt "$@"
compile pyproject.toml requirements/build.in --extra redis --extra postgresql --extra sherpa \
    -c requirements/dev.txt -o requirements/cluster.txt "$@"
compile pyproject.toml requirements/build.in --extra cluster --extra sherpa \
    -c requirements/dev.txt -o requirements/ray.txt "$@"
compile scripts/deploy/requirements.in -o scripts/deploy/requirements.txt "$@"
# the clients that scripts/clients/run.py tries live in environments of their own
compile scripts/clients/clients.in -o scripts/clients/clients.txt "$@"
compile_for 3.12 scripts/clients/bridge.in -o scripts/clients/bridge.txt "$@"
echo "The locks of requirements/, scripts/deploy/ and scripts/clients/ are written."
