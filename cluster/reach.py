"""Whether there is anything at a Ray cluster's address. It is asked before Ray is, which tries for minutes."""

from __future__ import annotations

import os
import socket
from urllib.parse import urlsplit

from cluster.errors import BadInput, ClusterUnavailable

SECONDS = 5.0
"""For a machine to answer, or it is taken for unreachable."""
CLIENT_PORT = 10001
"""Of an address `ray://HOST` without one."""
BY_NAME = ("auto", "local")
"""Addresses that Ray itself finds a cluster by."""


def address_of(given: str | None) -> str | None:
    """The cluster's address: the one given, else RAY_ADDRESS, else None for a cluster that is started here."""
    return given or os.environ.get("RAY_ADDRESS") or None


def check_reachable(address: str) -> None:
    """Raises BadInput for what is no address, and ClusterUnavailable where nothing listens at it in time."""
    if address in BY_NAME:
        return
    host, port = _host_and_port(address)
    try:
        socket.create_connection((host, port), SECONDS).close()
    except (OSError, UnicodeError) as error:
        why = "it did not answer in time" if isinstance(error, TimeoutError) else str(error).rpartition("] ")[2]
        raise ClusterUnavailable(
            f"the Ray cluster at {address} is unreachable: {why}. Correct --address or RAY_ADDRESS, start Ray "
            "there (`ray start --head`), or unset both for a cluster of this machine alone"
        ) from None


def _host_and_port(address: str) -> tuple[str, int]:
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        host, port = parts.hostname, parts.port or (CLIENT_PORT if parts.scheme == "ray" else None)
    except ValueError:
        host = port = None
    if host and port and parts.scheme in ("", "ray"):
        return host, port
    raise BadInput(f"{address}: no address of a Ray cluster; write HOST:6379, ray://HOST:{CLIENT_PORT} or auto")
