"""What the live protocols share: the handshake, held sockets, sound, and one line of events over live sessions."""
