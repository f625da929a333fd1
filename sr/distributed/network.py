"""Find addresses for ranks to meet at."""

import contextlib
import fcntl
import socket
import struct

_SIOCGIFADDR = 0x8915
_ANY_PORT = 9


def find_free_port() -> int:
    """Return a TCP port of this host that no program uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
    return port


def find_interface_to(host: str) -> str:
    """Return the name of the network interface through which this host reaches another one; empty if unknown.

    Many hosts have their own name as 127.0.1.1 in /etc/hosts, by which other hosts cannot reach them.
    """
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, _ANY_PORT))  # sends nothing
        address = probe.getsockname()[0]
        for _, name in socket.if_nameindex():
            with contextlib.suppress(OSError):
                request = struct.pack("256s", name.encode()[:15])
                answer = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, request)
                if socket.inet_ntoa(answer[20:24]) == address and not address.startswith("127."):
                    return name
    return ""
