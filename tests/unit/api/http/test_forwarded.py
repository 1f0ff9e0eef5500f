"""``X-Forwarded-*``: believed from trusted proxies alone, and only what these have said."""

import pytest

from api.http.proxies import PublicAddress, SubPath, TrustedProxies

FOR, PROTO, HOST = b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"
PREFIX = b"x-forwarded-prefix"


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


def base(*headers: tuple[bytes, bytes], peer: str = "10.0.0.1", public_url: str | None = None) -> str:
    address = PublicAddress(TrustedProxies(["10.0.0.0/8"]), public_url)
    scope = {"scheme": "http", "client": (peer, 1), "headers": [(b"host", b"inner:8000"), *headers]}
    assert address.base(scope).endswith(address.prefix(scope))
    return address.base(scope)


@pytest.mark.parametrize(
    ("value", "prefix"),
    [(b"/skald", "/skald"), (b"/skald/", "/skald"), (b"/a/b-c_d.e~f", "/a/b-c_d.e~f"), (b"/", ""), (b"", "")],
)
def test_a_trusted_proxy_tells_the_prefix_that_it_takes_off(value: bytes, prefix: str) -> None:
    assert base((PREFIX, value)) == f"http://inner:8000{prefix}"
    assert base((PREFIX, value), peer="192.0.2.1") == "http://inner:8000"


@pytest.mark.parametrize(
    "value",
    [
        b"//evil.example",
        b"/a//b",
        b"/..",
        b"/a/../b",
        b"/./a",
        b"skald",
        b"/a b",
        b'/a"b',
        b"/a'b",
        b"/a<b",
        b"/a\\b",
        b"/a\x00",
        b"/a\r\nX: y",
        b"/a?b",
        b"/a#b",
        b"/a%2e%2e",
        b"/\xc3\xa4",
        b"https://evil.example/",
    ],
)
def test_a_prefix_that_is_none_is_ignored(value: bytes) -> None:
    assert base((PREFIX, value)) == "http://inner:8000"


def test_the_prefix_of_the_nearest_proxy_counts_over_what_the_client_wrote() -> None:
    assert base((FOR, b"203.0.113.9"), (PREFIX, b"/evil"), (PREFIX, b"/good")) == "http://inner:8000/good"


def test_the_public_address_goes_over_what_a_proxy_says() -> None:
    said = (PROTO, b"http"), (HOST, b"other.example"), (PREFIX, b"/other")

    assert base(*said, public_url="https://skald.example/s") == "https://skald.example/s"
    assert base(*said, public_url="https://skald.example") == "https://skald.example"


@pytest.mark.parametrize(
    ("prefix", "path", "served"),
    [
        ("/skald", "/skald/api/x", "/api/x"),
        ("/skald", "/api/x", "/api/x"),
        ("/skald", "/skald/other", "/skald/other"),
        ("/skald", "/skaldapi/x", "/skaldapi/x"),
        ("/skald", "/skald", "/skald"),
        ("/api", "/api/api/x", "/api/x"),
        ("/api", "/api/projects/1", "/api/projects/1"),
        ("/s", "/s/s/token", "/s/token"),
        ("/s", "/s/token/.well-known", "/s/token/.well-known"),
    ],
)
async def test_a_sub_path_that_the_proxy_leaves_is_taken_off_here(
    prefix: str, path: str, served: str
) -> None:
    seen = []

    async def app(scope: dict[str, object], *_: object) -> None:
        seen.append((scope["path"], scope["raw_path"]))

    scope = {"type": "http", "path": path, "raw_path": path.encode()}
    await SubPath(app, prefix, {"api", "s"})(scope, None, None)

    assert seen == [(served, served.encode())]
    assert scope["path"] == path
