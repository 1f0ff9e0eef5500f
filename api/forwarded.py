"""Which scheme and host a client used, when trusted proxies stand between it and this service.

``X-Forwarded-*`` is believed only when the connection itself comes from a trusted address. Proxies that append to the headers
are followed from the nearest one outwards, as far as ``X-Forwarded-For`` names trusted addresses, so what a client wrote into
the headers itself is never reached.
"""

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv6Address, ip_address, ip_network

from api.http import Header

# What may stand in a Host header; anything else would end up in an address that we hand out.
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
SCHEMES = ("http", "https")


class TrustedProxies:
    """Addresses or networks (CIDR) whose ``X-Forwarded-*`` headers are believed; none trusts nobody."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks = [ip_network(network, strict=False) for network in networks]

    def __contains__(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        return any(parsed in network for network in self._networks)

    def origin(self, scheme: str, host: str, peer: str | None, headers: Sequence[Header]) -> str:
        """``scheme://host`` as the client used them; ``scheme``, ``host`` and ``peer`` are those of the connection."""
        if self._networks and peer is not None and peer in self:
            hops = self._hops(_values(headers, b"x-forwarded-for"))
            forwarded_scheme = _nth_from_end(_values(headers, b"x-forwarded-proto"), hops).lower()
            forwarded_host = _nth_from_end(_values(headers, b"x-forwarded-host"), hops)
            if forwarded_scheme in SCHEMES:
                scheme = forwarded_scheme
            if HOST.fullmatch(forwarded_host):
                host = forwarded_host
        return f"{scheme}://{host}"

    def client(self, peer: str, headers: Sequence[Header]) -> str:
        """The address that the request came from: the nearest one that is no trusted proxy."""
        if self._networks and peer in self:
            for address in reversed(_values(headers, b"x-forwarded-for")):
                peer = address
                if address not in self:
                    break
        return peer

    def _hops(self, forwarded_for: Sequence[str]) -> int:
        """How many trusted proxies the request went through."""
        hops = 1
        for address in reversed(forwarded_for):
            if address not in self:
                break
            hops += 1
        return hops


def _values(headers: Sequence[Header], name: bytes) -> list[str]:
    """All values of a list header, in order."""
    joined = b",".join(value for key, value in headers if key == name).decode("latin-1")
    return [value.strip() for value in joined.split(",") if value.strip()]


def _nth_from_end(values: Sequence[str], hops: int) -> str:
    """What the outermost trusted proxy said; one value stands for all proxies, since most replace what they are given."""
    if not values:
        return ""
    return values[-min(hops, len(values))]
