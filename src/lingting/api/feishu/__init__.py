"""Feishu's `file_recognize`, `stream_recognize` and its token endpoints."""
