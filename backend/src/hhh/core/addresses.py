"""Which addresses lead back into the machine, or to what only its neighbours should reach.

Where several people may register databases and stores, one of them could have the service ask for what is not theirs:
its own ports, or the machine's credentials at a cloud's metadata address
(https://owasp.org/www-community/attacks/Server_Side_Request_Forgery). Private networks are not among them: databases
are there.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from hhh.core.errors import InvalidInput

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: Metadata services that are not at link-local addresses: of AWS by IPv6, of Alibaba Cloud.
_METADATA = frozenset({ipaddress.ip_address("fd00:ec2::254"), ipaddress.ip_address("100.100.100.200")})
#: Addresses that hold an IPv4 address in their last bytes: IPv4-compatible ones, and those of NAT64 (RFC 6052).
_HOLDING_IPV4 = (ipaddress.ip_network("::/96"), ipaddress.ip_network("64:ff9b::/96"))
_HINT = "HHH_REFUSE_LOCAL_ADDRESSES is set: nothing that is registered leads to loopback, the local link or a socket"


def refuse_local_host(host: str) -> None:
    """Refuses a host that is, or has among its addresses, one of this machine or of its link.

    A name is looked up; one that nobody knows now passes, and is refused by whoever connects to it.

    Raises:
        InvalidInput: it is such a host, or the folder of a Unix socket.
    """
    if host.startswith(("/", "@")) or not host:
        raise InvalidInput("A Unix socket is on this machine", hint=_HINT)
    if any(is_local(address) for address in _addresses(host)):
        raise InvalidInput(f"{host} is an address of this machine or of its link", hint=_HINT)


def refuse_local_url(url: str) -> None:
    """As `refuse_local_host`, of the host of a URL; one without a host passes.

    Raises:
        InvalidInput: as there.
    """
    try:
        host = urlsplit(url).hostname
    except ValueError:  # no URL: whoever opens it says so
        return
    if host:
        refuse_local_host(host)


def is_local(address: _Address) -> bool:
    """Whether an address is of this machine or of its link, however it is written."""
    inner = _inner(address)
    if inner is not None and is_local(inner):
        return True
    local = address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast
    return local or address in _METADATA


def _inner(address: _Address) -> _Address | None:
    """The IPv4 address that an IPv6 address stands for, if any."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if any(address in network for network in _HOLDING_IPV4):
        return ipaddress.IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour


def _addresses(host: str) -> set[_Address]:
    try:
        # As whoever connects does: `127.1` and `0x7f000001` are addresses as well.
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return set()
    return {address_in(str(each[4][0])) for each in found}


def address_in(text: str) -> _Address:
    """An address as the resolver gives it, without the interface that it is reached by (``fe80::1%eth0``)."""
    return ipaddress.ip_address(text.partition("%")[0])
