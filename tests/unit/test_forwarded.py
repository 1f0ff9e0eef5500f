"""``X-Forwarded-*``: believed from trusted proxies alone, and only what these have said."""

import pytest

from api.forwarded import TrustedProxies

FOR, PROTO, HOST = b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"


def origin(peer: str | None, *headers: tuple[bytes, bytes]) -> str:
    return TrustedProxies(["10.0.0.0/8", "2001:db8::1"]).origin("http", "inner:8000", peer, headers)


@pytest.mark.parametrize("peer", ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1"])
def test_a_trusted_proxy_is_believed(peer: str) -> None:
    assert origin(peer, (PROTO, b"https"), (HOST, b"skald.example:8443")) == "https://skald.example:8443"


@pytest.mark.parametrize("peer", ["192.0.2.1", "11.0.0.1", "2001:db8::2", "unix", "", None])
def test_nobody_else_is(peer: str | None) -> None:
    assert origin(peer, (PROTO, b"https"), (HOST, b"evil.example")) == "http://inner:8000"


def test_without_trusted_proxies_nobody_is() -> None:
    assert TrustedProxies().origin("http", "inner", "10.0.0.1", [(HOST, b"evil.example")]) == "http://inner"


def test_each_header_stands_for_itself() -> None:
    assert origin("10.0.0.1", (PROTO, b"HTTPS")) == "https://inner:8000"
    assert origin("10.0.0.1", (HOST, b"[2001:db8::5]:1")) == "http://[2001:db8::5]:1"
    assert origin("10.0.0.1") == "http://inner:8000"


@pytest.mark.parametrize("value", [b"", b"javascript", b"ftp", b"https://x"])
def test_an_unknown_scheme_is_ignored(value: bytes) -> None:
    assert origin("10.0.0.1", (PROTO, value)) == "http://inner:8000"


@pytest.mark.parametrize("value", [b"", b"a/b", b"a b", b"user@a", b'a"', b"a:b", b"\xff"])
def test_a_host_that_is_none_is_ignored(value: bytes) -> None:
    assert origin("10.0.0.1", (HOST, value)) == "http://inner:8000"


def test_the_word_of_the_nearest_proxy_counts_over_what_the_client_wrote() -> None:
    appended = (HOST, b"evil.example, good.example"), (PROTO, b"http, https")

    assert origin("10.0.0.1", (FOR, b"203.0.113.9"), *appended) == "https://good.example"


def test_a_chain_of_trusted_proxies_is_followed_to_its_outer_end() -> None:
    assert (
        origin(
            "10.0.0.1",
            (FOR, b"203.0.113.9, 10.0.0.7"),
            (HOST, b"evil.example, outer.example"),
            (HOST, b"inner.example"),
        )
        == "http://outer.example"
    )
    # A client that claims to be a proxy gains nothing: its own address stands behind the claim.
    assert (
        origin("10.0.0.1", (FOR, b"10.0.0.9, 203.0.113.9"), (HOST, b"evil.example, good.example"))
        == "http://good.example"
    )


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.7", b"203.0.113.9", "192.0.2.7"),
        ("10.0.0.1", b"203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", b"198.51.100.1, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", b"10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", b"", "10.0.0.1"),
    ],
)
def test_the_address_of_a_client_is_the_nearest_that_is_no_proxy(
    peer: str, forwarded: bytes, expected: str
) -> None:
    assert TrustedProxies(["10.0.0.0/8"]).client(peer, [(FOR, forwarded)]) == expected
