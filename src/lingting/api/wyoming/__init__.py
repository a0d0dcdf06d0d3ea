"""Wyoming, the protocol of Home Assistant's voices: events of JSON and sound over plain TCP."""
