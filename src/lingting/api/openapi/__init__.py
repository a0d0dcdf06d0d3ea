"""The OpenAPI document of all interfaces."""
