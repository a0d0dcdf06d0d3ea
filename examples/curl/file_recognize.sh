#!/bin/sh
# The text of a short recording. Usage: file_recognize.sh FILE.pcm      16 kHz, 16 bit, mono, at most 60 s
# Needs curl, and KEY in the environment; URL is the server's address, http://127.0.0.1:8300 when it is not set.
set -eu
[ $# -eq 1 ] || { sed -n 's/^# //p' "$0" >&2; exit 2; }
[ -s "$1" ] || { echo "$1 is missing or empty: nothing was sent" >&2; exit 2; }
: "${URL:=http://127.0.0.1:8300}" "${KEY:?an API key or a tenant access token}"
id=$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')
{
    printf '{"speech":{"speech":"'
    base64 <"$1" | tr -d '\n'
    printf '"},"config":{"file_id":"%s","format":"pcm","engine_type":"16k_auto"}}' "$id"
} | curl -sS "$URL/open-apis/speech_to_text/v1/speech/file_recognize" \
    -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" --data-binary @-
echo
