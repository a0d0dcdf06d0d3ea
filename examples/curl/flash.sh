#!/bin/sh
# The sentences of an audio file of any usual format with their times. Usage: flash.sh FILE
# Needs curl, and KEY in the environment; URL is the server's address, http://127.0.0.1:8300 when it is not set.
set -eu
[ $# -eq 1 ] || { sed -n 's/^# //p' "$0" >&2; exit 2; }
[ -s "$1" ] || { echo "$1 is missing or empty: nothing was sent" >&2; exit 2; }
: "${URL:=http://127.0.0.1:8300}" "${KEY:?an API key}"
curl -sS "$URL/v1/audio/asr/flash" -H "Authorization: Bearer $KEY" -H "format: ${1##*.}" --data-binary "@$1"
echo
