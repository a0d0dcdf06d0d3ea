#!/bin/sh
# Lints and renders the Helm chart and checks every manifest, in an environment of its own (390 MB, 20 s to make, once).
set -eu
cd "$(dirname "$0")/../.."
environment=.cache/deploy
stamp=$environment/requirements.txt
if ! cmp -s scripts/deploy/requirements.txt "$stamp"; then
    "$(sh scripts/find_python.sh)" -m venv --clear "$environment"
    "$environment/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r scripts/deploy/requirements.txt
    cp scripts/deploy/requirements.txt "$stamp"
fi
exec "$environment/bin/python" scripts/deploy/check.py "$@"
