#!/bin/sh
# Live clients that are too heavy for the suite, each in an environment of its own, against a running server:
#   URL=http://127.0.0.1:8300 KEY=lt-... sh scripts/clients/run.sh data/sample/sample.wav
# OpenAI's Node SDK speaks TLS only: it is tried where URL is https, and then alone with Deepgram's.
set -eu
: "${URL:?the address of the server}" "${KEY:?an API key}"
sample=$(realpath "$1")
said=购买汽车
here=$(realpath "$(dirname "$0")")
cache=$here/../../.cache/clients
mkdir -p "$cache/node"
cp "$here/package.json" "$here/deepgram.mjs" "$here/openai.mjs" "$cache/node"
[ -d "$cache/node/node_modules" ] || (cd "$cache/node" && npm install --no-audit --no-fund --ignore-scripts)
export NODE_TLS_REJECT_UNAUTHORIZED=0
case $URL in
https://*)
    node "$cache/node/openai.mjs" "$sample" | tee /dev/stderr | grep -q "$said"
    node "$cache/node/deepgram.mjs" "$sample" | tee /dev/stderr | grep -q "$said"
    exit
    ;;
esac
node "$cache/node/deepgram.mjs" "$sample" | tee /dev/stderr | grep -q "$said"
for program in openai_agents_sdk livekit_plugins pipecat_services; do
    case $program in
    openai_agents_sdk) packages="openai-agents[voice]==0.24.0" ;;
    livekit_plugins) packages="livekit-plugins-openai==1.8.9 livekit-plugins-deepgram==1.8.9" ;;
    pipecat_services) packages="pipecat-ai[openai,deepgram]==1.14.0" ;;
    esac
    python=$cache/$program/bin/python
    if ! [ -x "$python" ]; then
        python3 -m venv "$cache/$program"
        # shellcheck disable=SC2086
        "$python" -m pip install --quiet --disable-pip-version-check $packages
    fi
    "$python" "$here/$program.py" "$sample" "$said"
done
echo "every client heard the recording"
