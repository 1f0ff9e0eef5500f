"""What a webhook is told of, where it may be, and when it is tried again."""

from datetime import timedelta
from ipaddress import ip_address

import pytest

from domain.errors import Invalid
from domain.webhooks import Schedule, check_url, is_public, matches


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1", "172.31.255.255",
        "192.0.0.8", "192.0.2.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.9", "224.0.0.1", "240.0.0.1",
        "255.255.255.255",
        "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1",
        "64:ff9b:1::a00:1", "2002:7f00:1::", "2002:a00:1::", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1",
        "2001:db8::1", "2001:0:a00:1::1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_called(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "8.8.8.8", "93.184.215.14", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_addresses_that_are(address: str) -> None:
    assert is_public(ip_address(address))


def test_a_private_address_is_taken_where_that_is_allowed() -> None:
    for url in ("http://127.0.0.1:9000/", "http://[::1]/", "http://10.0.0.1"):
        assert check_url(url, allow_private=True) == url
        with pytest.raises(Invalid):
            check_url(url, allow_private=False)


def test_filters() -> None:
    assert matches([], "", "t", "skill/a")
    assert matches(["t"], "skill/pdf-*", "t", "skill/pdf-a")
    assert not matches(["u"], "", "t", "skill/a")
    assert not matches([], "skill/pdf-*", "t", "prompt/pdf-a")
    assert not matches([], "skill/PDF-*", "t", "skill/pdf-a")
    assert matches([], "*/pdf-?", "t", "prompt/pdf-a")


def test_pauses_grow_to_a_limit_and_are_spread() -> None:
    schedule = Schedule()
    whole = [schedule.pause(attempts, 0.5) for attempts in range(1, 1000)]
    assert whole[0] == 5.0
    assert whole == sorted(whole)
    assert whole[-1] == schedule.max_pause
    assert (schedule.pause(1, 0.0), schedule.pause(1, 1.0)) == (3.75, 6.25)
    # Within three days an endpoint that is down is tried a few dozen times.
    spent, attempts = 0.0, 0
    while spent < schedule.give_up_after:
        attempts += 1
        spent += schedule.pause(attempts, 0.5)
    assert 15 < attempts < 40
    assert not schedule.gives_up(timedelta(days=2, hours=23))
    assert schedule.gives_up(timedelta(days=3))
