"""The address of this service as its clients have it, and of a client, when proxies stand between the two.

The address is scheme, host and, behind a proxy that serves it below a sub-path, that path. The operator may set it; else it is
the one of the request, and what trusted proxies say of it. Every address that an answer holds begins by ``PublicAddress.base``.

``X-Forwarded-*`` is believed only when the connection itself comes from a trusted address. Proxies that append to the headers
are followed from the nearest one outwards, as far as ``X-Forwarded-For`` names trusted addresses, so what a client wrote into
the headers itself is never reached.
"""

from collections.abc import Collection, Iterable, Sequence
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import quote, urlsplit

from api.http.responses import Answer, Header, header
from domain.addresses import HOST, sub_path

SCHEMES = ("http", "https")


class TrustedProxies:
    """Addresses or networks (CIDR) whose ``X-Forwarded-*`` headers are believed; without any, no header is believed."""

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

    def prefix(self, peer: str | None, headers: Sequence[Header]) -> str:
        """The sub-path that a proxy has taken off the address, such as ``/skald``; empty when there is none."""
        if self._networks and peer is not None and peer in self:
            hops = self._hops(_values(headers, b"x-forwarded-for"))
            return sub_path(_nth_from_end(_values(headers, b"x-forwarded-prefix"), hops)) or ""
        return ""

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


class PublicAddress:
    """Where clients find this service. ``public_url`` is what the operator says (``https://host/skald``); it goes over the rest."""

    def __init__(self, proxies: TrustedProxies, public_url: str | None = None) -> None:
        self._proxies = proxies
        self._public_url = public_url
        self._prefix = urlsplit(public_url).path if public_url is not None else None

    def base(self, scope: Any) -> str:
        """What stands before a path of ours in an absolute address."""
        if self._public_url is not None:
            return self._public_url
        host = header(scope["headers"], b"host")
        if host is None:
            server = scope.get("server") or ("localhost", None)
            host = f"{server[0]}:{server[1]}".encode() if server[1] else server[0].encode()
        origin = self._proxies.origin(
            scope["scheme"], host.decode("latin-1"), _peer(scope), list(scope["headers"])
        )
        return origin + self.prefix(scope)

    def prefix(self, scope: Any) -> str:
        """What stands before a path of ours in an address without scheme and host."""
        if self._prefix is not None:
            return self._prefix
        return self._proxies.prefix(_peer(scope), list(scope["headers"]))


class SubPath:
    """ASGI middleware around everything, for proxies that leave the sub-path of the public address in what they pass on.

    Others take it off, so both are served. ``roots`` are the first segments of our own paths: by them ``/s/s/…`` below a public
    address that ends in ``/s`` is distinguished from ``/s/…``.
    """

    def __init__(self, app: Any, prefix: str, roots: Collection[str]) -> None:
        self._app = app
        self._prefix = prefix + "/"
        self._roots = frozenset(roots)

    def answer_now(self, scope: Any) -> Answer | None:
        answer: Answer | None = self._app.answer_now(self._below(scope))
        return answer

    def observe_refusal(self, status: int) -> None:
        self._app.observe_refusal(status)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(self._below(scope) if scope["type"] == "http" else scope, receive, send)

    def _below(self, scope: Any) -> Any:
        path: str = scope["path"]
        if not path.startswith(self._prefix):
            return scope
        cut = len(self._prefix) - 1
        if path[cut + 1 :].partition("/")[0] not in self._roots:
            return scope
        below = {**scope, "path": path[cut:]}
        # A prefix holds nothing that needs encoding; where a client has encoded it all the same, the path is what counts.
        raw: bytes = scope.get("raw_path") or b""
        below["raw_path"] = raw[cut:] if raw.startswith(self._prefix.encode()) else quote(path[cut:]).encode()
        return below


def _peer(scope: Any) -> str | None:
    client = scope.get("client")
    return client[0] if client else None


def _values(headers: Sequence[Header], name: bytes) -> list[str]:
    """All values of a list header, in order."""
    joined = b",".join(value for key, value in headers if key == name).decode("latin-1")
    return [value.strip() for value in joined.split(",") if value.strip()]


def _nth_from_end(values: Sequence[str], hops: int) -> str:
    """What the outermost trusted proxy said; one value stands for all proxies, since most replace what they are given."""
    if not values:
        return ""
    return values[-min(hops, len(values))]
