"""Deepgram's `/v1/listen`: live over WebSocket, and recordings over POST."""
