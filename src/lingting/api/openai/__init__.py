"""OpenAI's audio interface over HTTP."""
