"""OpenAI's Realtime interface, as far as it transcribes: `/v1/realtime`."""
