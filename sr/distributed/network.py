"""Find addresses for ranks to meet at."""

import socket


def find_free_port() -> int:
    """Return a TCP port of this host that no program uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
