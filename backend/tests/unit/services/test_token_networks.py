"""Where tokens may be used from."""

import pytest

from hhh.core.errors import InvalidInput
from hhh.services.token_networks import MOST, checked, is_within


@pytest.mark.parametrize(
    ("address", "networks"),
    [
        ("192.0.2.7", []),
        ("unknown", []),
        ("192.0.2.7", ["192.0.2.7"]),
        ("192.0.2.7", ["198.51.100.0/24", "192.0.2.0/24"]),
        ("192.0.2.7", ["192.0.2.99/24"]),
        ("192.0.2.7", ["0.0.0.0/0"]),
        ("::ffff:192.0.2.7", ["192.0.2.0/24"]),
        ("::FFFF:c000:207", ["192.0.2.0/24"]),
        ("192.0.2.7", ["::ffff:192.0.2.0/120"]),
        ("2001:db8::1", ["2001:db8::/32"]),
        ("fe80::1%eth0", ["fe80::/10"]),
    ],
)
def test_an_address_is_within(address: str, networks: list[str]) -> None:
    assert is_within(address, checked(networks))


@pytest.mark.parametrize(
    ("address", "networks"),
    [
        ("192.0.3.7", ["192.0.2.0/24"]),
        ("192.0.2.7", ["::/0"]),
        ("2001:db8::1", ["0.0.0.0/0"]),
        ("2002:c000:207::1", ["192.0.2.0/24"]),
        ("::ffff:192.0.3.7", ["192.0.2.0/24"]),
        ("unknown", ["0.0.0.0/0", "::/0"]),
        ("", ["0.0.0.0/0", "::/0"]),
        ("192.0.2.7, 10.0.0.1", ["0.0.0.0/0"]),
        ("/run/hhh.sock", ["0.0.0.0/0"]),
    ],
)
def test_an_address_is_not_within(address: str, networks: list[str]) -> None:
    assert not is_within(address, checked(networks))


@pytest.mark.parametrize("given", ["10.0.0.0/33", "10.0.0", "localhost", "10.0.0.0/8,11.0.0.0/8", "::1/129", "x" * 99])
def test_what_is_no_network_is_refused(given: str) -> None:
    with pytest.raises(InvalidInput, match="is no network"):
        checked([given])


def test_networks_are_kept_once_and_as_they_are_written_everywhere() -> None:
    assert checked([" 10.1.2.3/8", "10.0.0.0/8", "", "192.0.2.7", "2001:DB8::/32"]) == (
        "10.0.0.0/8,192.0.2.7/32,2001:db8::/32"
    )
    with pytest.raises(InvalidInput, match=f"at most {MOST}"):
        checked(f"10.0.{each}.0/24" for each in range(MOST + 1))
