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
compile() {
    "$tool/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate "$@"
}
compile pyproject.toml requirements/build.in -o requirements/serve.txt "$@"
compile pyproject.toml requirements/build.in --extra redis --extra postgresql --extra sherpa --extra otel --group dev \
    -c requirements/serve.txt -o requirements/dev.txt "$@"
compile pyproject.toml requirements/build.in --extra redis --extra postgresql --extra sherpa \
    -c requirements/dev.txt -o requirements/cluster.txt "$@"
compile pyproject.toml requirements/build.in --extra cluster --extra sherpa \
    -c requirements/dev.txt -o requirements/ray.txt "$@"
compile scripts/deploy/requirements.in -o scripts/deploy/requirements.txt "$@"
echo "The locks of requirements/ and scripts/deploy/requirements.txt are written."
