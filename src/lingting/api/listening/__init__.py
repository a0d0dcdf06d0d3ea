"""Below HTTP: sockets, TLS, who may connect, and the head of a request."""
