"""Webhooks: which events an endpoint receives, which addresses it may have, when a delivery is repeated."""

import re
from collections.abc import Sequence
from datetime import timedelta
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

import msgspec

from domain.artifacts.kinds import PREFIXES
from domain.errors import Invalid

MAX_URL = 2048
MAX_TYPES = 100
MAX_NAMES = 300
MAX_WEBHOOKS = 100  # of one project: each is a reader of its own
SHORTEST_KEY = 32  # characters of what seals the secrets; `openssl rand -hex 32` gives 64
MAX_ROTATION = 30 * 24 * 3600  # seconds that an old secret may go on signing
DEFAULT_ROTATION = 24 * 3600

URL = re.compile(r"https?://[!-~]+")
# A host is a name of letters, digits, hyphens and dots (international ones in their xn-- form) or an address.
HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?|[0-9A-Fa-f:.]+")

# The last 32 bits of these are an IPv4 address that a gateway goes on to.
NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))

# Reserved, and taken for ordinary by the lists of some Python releases.
RESERVED = (
    IPv4Network("192.0.0.0/24"),
    IPv4Network("192.88.99.0/24"),
    IPv6Network("3fff::/20"),
    IPv6Network("5f00::/16"),
)

Address = IPv4Address | IPv6Address


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """When a delivery is tried again; all in seconds."""

    first_pause: float = 5.0
    factor: float = 2.5
    # Long outages are noticed by people; a try every six hours finds out that they have been.
    max_pause: float = 6 * 3600.0
    give_up_after: float = 3 * 24 * 3600.0

    def pause(self, attempts: int, chance: float) -> float:
        """The pause after so many attempts; ``chance`` (0 to 1) spreads it over half of its length.

        Endpoints that went down together must not be tried again together.
        """
        # The power is bounded before it is taken: a float ends at 10^308.
        whole = min(self.first_pause * self.factor ** min(attempts - 1, 100), self.max_pause)
        return whole * (0.75 + chance / 2)

    def gives_up(self, failing: timedelta) -> bool:
        """Whether an endpoint has failed for too long."""
        return failing.total_seconds() >= self.give_up_after


def matches(types: Sequence[str], names: str, type_: str, subject: str) -> bool:
    """Whether an event passes the filters of a webhook; an empty filter lets everything pass."""
    return (not types or type_ in types) and (not names or fnmatchcase(subject, names))


def check_url(url: str, *, allow_private: bool) -> str:
    """The address itself. Raises Invalid unless it is an absolute http(s) address without credentials.

    A host that is written as an address is looked at here; a name is looked at whenever it is connected to.
    """
    url = url.strip()
    if len(url) > MAX_URL:
        raise Invalid(f"Use at most {MAX_URL} characters.", code="max_length")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or not URL.fullmatch(url) or not HOST.fullmatch(host) or "\\" in url:
        raise Invalid("Enter an absolute address such as https://example.com/hook.")
    if "@" in parts.netloc:
        raise Invalid("Leave user and password out of the address; verify the signature instead.")
    if "#" in url:
        raise Invalid("Leave the fragment (#…) out of the address; it is never sent.")
    literal = as_address(host)
    if literal is not None and not allow_private and not is_public(literal):
        raise Invalid("Private, loopback and link-local addresses are not called.")
    return url


def check_names(names: str) -> str:
    """A pattern for subjects. Raises Invalid when it can match none."""
    names = names.strip()
    if len(names) > MAX_NAMES:
        raise Invalid(f"Use at most {MAX_NAMES} characters.", code="max_length")
    if names and not names.isprintable():
        raise Invalid("Use printable characters: a pattern such as skill/pdf-*.")
    if names and not names.startswith((*PREFIXES, "*")):
        raise Invalid(f"A pattern begins with {', '.join(PREFIXES)} or *, such as skill/pdf-* or */pdf-*.")
    return names


def as_address(host: str) -> Address | None:
    """The address that a host is written as; None for a name."""
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        return None


def is_public(address: Address) -> bool:
    """Whether it is an ordinary address of the internet, also behind what wraps an IPv4 address into IPv6."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inner is None and any(address in network for network in NAT64):
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        # ::a.b.c.d, deprecated and yet routed by some.
        if inner is None and int(address) >> 32 == 0:
            inner = IPv4Address(int(address))
        if inner is not None:
            return is_public(inner)
        if address.is_site_local:
            return False
    return (
        not any(address in network for network in RESERVED)
        and address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not address.is_unspecified
        and not address.is_loopback
        and not address.is_link_local
    )
