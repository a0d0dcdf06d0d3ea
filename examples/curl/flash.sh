#!/bin/sh
# The sentences of an audio file of any usual format with their times. Usage: flash.sh FILE
set -eu
: "${URL:=http://127.0.0.1:8300}" "${KEY:?an API key}"
curl -sS "$URL/v1/audio/asr/flash" -H "Authorization: Bearer $KEY" -H "format: ${1##*.}" --data-binary "@$1"
echo
