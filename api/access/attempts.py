"""How many failed credentials one client address may send in a minute, before the database is asked about more.

Counted in each process alone: a guess costs one query, and the bound is for the database, not for a password. A credential
that this process has seen to be good is never refused, so one broken client does not lock out its neighbours at work; one
that it has not seen yet waits for ``RESERVE_EVERY``.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil
from time import monotonic
from typing import Any
from uuid import UUID

import msgspec

from api.http.errors import RateLimited
from api.http.proxies import TrustedProxies
from domain.errors import Refused

MINUTE = 60.0
# Seconds after which a blocked address may try one more unknown credential: a good key that this process has not seen yet gets
# in behind an address that others guess from, at the price of ten more look-ups a minute.
RESERVE_EVERY = 6.0
MAX_ADDRESSES = (
    10_000  # counted at once, some 200 bytes each; beyond it the address that failed longest ago is forgotten
)


class Failures(msgspec.Struct, frozen=True):
    """Those of one address: the end of their window, how many, and when one more try is let through beyond the limit."""

    end: float = 0.0
    count: int = 0
    next_try: float = 0.0


class FailedAttempts:
    """Counts failures by client address; a limit of 0 is no limit."""

    def __init__(
        self, proxies: TrustedProxies, *, per_minute: int, refused: Callable[[str], None] = lambda _: None
    ) -> None:
        self._proxies = proxies
        self._refused = refused
        self._limit = per_minute
        # By address; the last to fail stands last.
        self._failures: OrderedDict[str, Failures] = OrderedDict()

    @contextmanager
    def guard(self, scope: Any, failure: type[Refused], *, known_good: bool) -> Iterator[None]:
        """Around the check of a credential: a ``failure`` inside is counted.

        Raises RateLimited instead of entering when the address has failed too often, unless the credential is
        ``known_good``.
        """
        if not self._limit:
            yield
            return
        address = client_network(self._proxies, scope)
        if not known_good:
            self._check(address)
        try:
            yield
        except failure:
            self._count(address)
            raise

    def _check(self, address: str) -> None:
        failures, now = self._failures.get(address, Failures()), monotonic()
        if failures.count < self._limit or failures.end <= now:
            return
        if failures.next_try <= now:
            self._failures[address] = msgspec.structs.replace(failures, next_try=now + RESERVE_EVERY)
            return
        # Earlier than the window ends there may be a try, or others may have had it.
        seconds = ceil(failures.end - now)
        self._refused("minute")
        raise RateLimited(
            f"Request was throttled: this address has sent {self._limit} wrong keys or share addresses within a minute. "
            f"Check the key; expected available in {seconds} seconds.",
            retry_after=seconds,
            headers=[],
        )

    def _count(self, address: str) -> None:
        now = monotonic()
        failures = self._failures.pop(address, Failures())
        if failures.end <= now:
            failures = Failures(now + MINUTE)
        next_try = failures.next_try if failures.count >= self._limit else now + RESERVE_EVERY
        self._failures[address] = Failures(failures.end, failures.count + 1, next_try)
        if len(self._failures) > MAX_ADDRESSES:
            self._failures.popitem(last=False)


def client_network(proxies: TrustedProxies, scope: Any) -> str:
    """The address that a request came from; of IPv6 the network of a host, which has all of its addresses to choose from."""
    peer = scope.get("client")
    address = proxies.client(peer[0] if peer else "", list(scope["headers"]))
    with suppress(ValueError):
        if isinstance(parsed := ip_address(address), IPv6Address):
            address = str(parsed.ipv4_mapped or ip_network((parsed, 64), strict=False))
    return address


def client_id(proxies: TrustedProxies, scope: Any) -> UUID:
    """The same as an id that a rate limiter can count by."""
    return UUID(bytes=sha256(client_network(proxies, scope).encode()).digest()[:16])
