"""What all interfaces share over HTTP: admission, bodies, headers, the exchange, the answer."""
