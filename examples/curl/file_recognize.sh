#!/bin/sh
# The text of a short recording. Usage: file_recognize.sh FILE.pcm      16 kHz, 16 bit, mono, at most 60 s
set -eu
: "${URL:=http://127.0.0.1:8300}" "${KEY:?an API key or a tenant access token}"
id=$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')
{
    printf '{"speech":{"speech":"'
    base64 <"$1" | tr -d '\n'
    printf '"},"config":{"file_id":"%s","format":"pcm","engine_type":"16k_auto"}}' "$id"
} | curl -sS "$URL/open-apis/speech_to_text/v1/speech/file_recognize" \
    -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" --data-binary @-
echo
