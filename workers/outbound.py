"""HTTP to addresses that others have chosen: only to public ones, without redirects or proxies, and within short time-outs.

A name is resolved here and the connection goes to the very address that was checked, so a name cannot mean a public address
when it is checked and a private one when it is used. TLS still speaks of the name.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpcore
import httpx

from domain.webhooks import Address, as_address, is_public

MAX_CONNECTIONS = 512  # as many as there are requests at the same time (workers.webhooks.MAX_CONCURRENT)
MAX_IDLE = 64
KEEP_IDLE = 30.0  # seconds
# Hosts at the same time; threads are made when they are needed. One outlives the attempt that asked by half a minute, so a
# project (workers.webhooks.PER_PROJECT) may hold a hundred of them.
MAX_RESOLVING = 256


class Forbidden(httpcore.ConnectError):
    """The host has no address that may be called."""


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects to checked addresses only."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._inner = httpcore.AnyIOBackend()
        # A name server that does not answer keeps a thread for as long as the resolver likes: it shall be one for each host,
        # and not one of those that the other hosts wait for.
        self._threads = ThreadPoolExecutor(MAX_RESOLVING, thread_name_prefix="resolve")
        self._resolving: dict[tuple[str, int], asyncio.Future[list[str]]] = {}

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        last: httpcore.ConnectError | None = None
        for address in await self._addresses(host, port):
            try:
                stream = await self._inner.connect_tcp(
                    str(address), port, timeout, local_address, socket_options
                )
            except httpcore.ConnectError as error:
                last = error
                continue
            if not self._may(_peer(stream)):
                await stream.aclose()
                raise Forbidden("the connection went to an address that may not be called")
            return stream
        raise last or Forbidden(f"{host} has no address that may be called")

    async def connect_unix_socket(self, *args: Any, **options: Any) -> httpcore.AsyncNetworkStream:
        raise Forbidden("no unix sockets")

    def close(self) -> None:
        """Close without waiting for names that are still being resolved."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _addresses(self, host: str, port: int) -> list[Address]:
        """What the host means, as far as it may be called. Raises httpcore.ConnectError when nothing is left."""
        key = (host, port)
        asked = self._resolving.get(key)
        if asked is None:
            asked = asyncio.get_running_loop().run_in_executor(self._threads, _resolve, host, port)
            self._resolving[key] = asked
            asked.add_done_callback(lambda _: self._resolving.pop(key, None))
        try:
            # A caller that is cancelled leaves the look-up to the next one.
            found = await asyncio.shield(asked)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"the host name cannot be resolved: {error}") from error
        addresses = dict.fromkeys(map(as_address, found))
        allowed = [address for address in addresses if address is not None and self._may(address)]
        if not allowed:
            raise Forbidden("private, loopback, link-local and multicast addresses are not called")
        return allowed

    def _may(self, address: Address | None) -> bool:
        return self._allow_private or (address is not None and is_public(address))


class CheckedTransport(httpx.AsyncHTTPTransport):
    """httpx takes no network backend, so the pool that it made is replaced by one that has ours."""

    def __init__(self, *, allow_private: bool, verify: ssl.SSLContext | None = None) -> None:
        context = verify or ssl.create_default_context()
        super().__init__(verify=context, trust_env=False)
        self._backend = CheckedBackend(allow_private=allow_private)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=MAX_CONNECTIONS,
            max_keepalive_connections=MAX_IDLE,
            keepalive_expiry=KEEP_IDLE,
            network_backend=self._backend,
        )

    async def aclose(self) -> None:
        await super().aclose()
        self._backend.close()

    async def __aexit__(self, *args: Any) -> None:
        await super().__aexit__(*args)
        self._backend.close()


def open_client(*, allow_private: bool, verify: ssl.SSLContext | None = None) -> httpx.AsyncClient:
    """A client for endpoints of others; time-outs are up to the caller. ``allow_private`` switches the checks off."""
    # They log every address that they call, and some hold a token.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return httpx.AsyncClient(
        transport=CheckedTransport(allow_private=allow_private, verify=verify),
        trust_env=False,
        follow_redirects=False,
        timeout=httpx.Timeout(None),
        # Answers are looked at as far as they came, and never unpacked.
        headers={"user-agent": "Skald-Webhooks/1", "accept": "*/*", "accept-encoding": "identity"},
    )


def _resolve(host: str, port: int) -> list[str]:
    """All addresses of a host. Raises OSError and UnicodeError."""
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _peer(stream: httpcore.AsyncNetworkStream) -> Address | None:
    found = stream.get_extra_info("server_addr")
    return as_address(str(found[0])) if found else None
