"""Tenants, apps, API keys, tokens, scopes, limits, usage."""
