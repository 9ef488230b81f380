"""Ports of this machine that nobody has."""

from __future__ import annotations

import socket
from contextlib import ExitStack, suppress


def free_port(host: str, count: int = 1) -> int:
    """The first of `count` ports in a row that are free at an address of this machine."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        with suppress(OSError, OverflowError), ExitStack() as held:
            first = held.enter_context(socket.socket(family))
            first.bind((host, 0))
            port: int = first.getsockname()[1]
            for following in range(port + 1, port + count):
                held.enter_context(socket.socket(family)).bind((host, following))
            return port
