#!/bin/sh
# Text that grows while audio is sent. Usage: stream_recognize.sh FILE.pcm      16 kHz, 16 bit, mono; packets of a second
# Needs curl, and KEY in the environment; URL is the server's address, http://127.0.0.1:8300 when it is not set.
set -eu
[ $# -eq 1 ] || { sed -n 's/^# //p' "$0" >&2; exit 2; }
[ -s "$1" ] || { echo "$1 is missing or empty: nothing was sent" >&2; exit 2; }
: "${URL:=http://127.0.0.1:8300}" "${KEY:?an API key or a tenant access token}"
id=$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')
packet=32000
packets=$((($(wc -c <"$1") + packet - 1) / packet))

send() { # number, action; the audio on standard input
    {
        printf '{"speech":{"speech":"'
        base64 | tr -d '\n'
        printf '"},"config":{"stream_id":"%s","sequence_id":%d,"action":%d,"format":"pcm","engine_type":"16k_auto"}}' \
            "$id" "$1" "$2"
    } | curl -sS "$URL/open-apis/speech_to_text/v1/speech/stream_recognize" \
        -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" --data-binary @-
    echo
}

number=0
while [ "$number" -lt "$packets" ]; do
    action=0
    [ "$number" -gt 0 ] || action=1
    dd if="$1" bs="$packet" skip="$number" count=1 2>/dev/null | send "$number" "$action"
    number=$((number + 1))
    sleep 1
done
send "$number" 2 </dev/null
