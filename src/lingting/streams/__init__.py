"""Numbered packets to live sessions: order, retries, expiry."""
