"""An address of this machine is known in whatever way it is written."""

import ipaddress

import pytest

from hhh.core.addresses import is_local, refuse_local_host, refuse_local_url
from hhh.core.errors import InvalidInput


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.9.10",
        "0.0.0.0",
        "169.254.169.254",
        "224.0.0.1",
        "100.100.100.200",
        "::",
        "::1",
        "fe80::1",
        "fd00:ec2::254",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
    ],
)
def test_it_is_local(address: str) -> None:
    assert is_local(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["10.0.0.5", "192.168.1.1", "172.16.0.1", "203.0.113.9", "2001:db8::1", "fd12::1"])
def test_a_private_network_is_where_databases_are(address: str) -> None:
    assert not is_local(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "host", ["127.1", "0x7f000001", "2130706433", "localhost", "LOCALHOST", "::1", "/run/postgresql", "@abstract", ""]
)
def test_a_host_is_refused_in_every_spelling(host: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        refuse_local_host(host)
    assert "HHH_REFUSE_LOCAL_ADDRESSES" in str(refused.value)


@pytest.mark.parametrize("host", ["10.0.0.5", "nobody-knows-this-name.invalid", "x" * 300])
def test_what_leads_elsewhere_or_nowhere_passes(host: str) -> None:
    refuse_local_host(host)


@pytest.mark.parametrize("url", ["http://[::1]:9000", "https://user:pw@127.0.0.1/x", "http://169.254.169.254/latest"])
def test_of_a_url_the_host_counts(url: str) -> None:
    with pytest.raises(InvalidInput):
        refuse_local_url(url)


@pytest.mark.parametrize("url", ["https://10.0.0.5/x", "http://[broken", "mailto:somebody"])
def test_a_url_that_leads_elsewhere_passes(url: str) -> None:
    refuse_local_url(url)
