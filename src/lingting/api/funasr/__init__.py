"""FunASR's runtime WebSocket: `/`, as its clients in seven languages speak it."""
