#!/bin/sh
# Proves a cluster on this machine: two Ray nodes, real Redis and PostgreSQL, 20 live streams at a time through Feishu's
# SDK, OpenAI's Realtime and Deepgram's protocol, while a home and a node are killed and frozen, and the homes are
# replaced by those of other settings. Every final text must be right. `--short` kills a home and a node only. Ray is
# installed in an environment of its own (.cache/ray, once).
set -eu
cd "$(dirname "$0")/.."
"$(sh scripts/find_python.sh)" scripts/setup_environment.py ray .cache/ray
exec .cache/ray/bin/python -m scripts.cluster.proof "$@"
