#!/bin/sh
# Resolves the dependencies of pyproject.toml into requirements/serve.txt and requirements/dev.txt, for every platform
# and Python at once. `make lock ARGS=--upgrade` takes newer versions; without it the locked ones stay where they can.
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
compile pyproject.toml requirements/build.in --extra redis --extra postgresql --extra sherpa --group dev \
    -c requirements/serve.txt -o requirements/dev.txt "$@"
echo "requirements/serve.txt and requirements/dev.txt are written."
