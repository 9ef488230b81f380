"""A cluster's address is looked at before Ray tries it for minutes."""

from __future__ import annotations

import socket

import pytest

from cluster.errors import BadInput, ClusterUnavailable
from cluster.reach import address_of, check_reachable
from tests.processes import free_port


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_an_address_where_nothing_listens_is_unreachable(scheme: str) -> None:
    with pytest.raises(ClusterUnavailable, match=r"127\.0\.0\.1.*unreachable.*refused"):
        check_reachable(f"{scheme}127.0.0.1:{free_port()}")


def test_an_address_where_something_listens_is_for_ray_to_try() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        check_reachable(f"127.0.0.1:{server.getsockname()[1]}")


def test_ray_finds_a_cluster_by_name_itself() -> None:
    check_reachable("auto")


@pytest.mark.parametrize("address", ["head", "http://head:8265", "head:port", "head:99999", "[::1", "ray://[bad"])
def test_what_is_no_address_is_bad_input(address: str) -> None:
    with pytest.raises(BadInput, match="no address of a Ray cluster"):
        check_reachable(address)


def test_the_option_outranks_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    assert address_of("other:6379") == "other:6379"
    assert address_of(None) == "head:6379"
    monkeypatch.delenv("RAY_ADDRESS")
    assert address_of(None) is None
