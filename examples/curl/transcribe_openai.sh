#!/bin/sh
# The subtitles of an audio file of any usual format. Usage: transcribe_openai.sh FILE
set -eu
: "${URL:=http://127.0.0.1:8300}" "${KEY:?an API key}"
curl -sS "$URL/v1/audio/transcriptions" -H "Authorization: Bearer $KEY" \
    -F "file=@$1" -F model=whisper-1 -F response_format=srt
