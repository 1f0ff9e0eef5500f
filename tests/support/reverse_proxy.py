"""A reverse proxy that serves a service below a sub-path, as nginx does with ``location /skald/``: on sockets, in a thread."""

import http.client
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding"}


@contextmanager
def proxying(
    to: str,
    port: int,
    prefix: str,
    *,
    strip: bool = True,
    forwarded: bool = True,
    added: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """The address below which ``to`` is served. Whatever is not below ``prefix`` is a 404 without a word of JSON.

    ``strip``: the prefix is taken off; ``forwarded``: ``X-Forwarded-*`` tell what the client used; ``added``: headers
    that the service gets beside the client's, such as a key.
    """
    upstream = urlsplit(to)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            self.pass_on()

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            if not self.path.startswith(f"{prefix}/"):
                self.send_response(404, "Outside")
                self.send_header("content-length", "0")
                self.end_headers()
                return
            dropped = {*HOP_BY_HOP, "host"}
            headers = {name: value for name, value in self.headers.items() if name.lower() not in dropped}
            if forwarded:
                headers |= {
                    "X-Forwarded-For": self.client_address[0],
                    "X-Forwarded-Proto": "http",
                    "X-Forwarded-Host": self.headers["host"],
                    "X-Forwarded-Prefix": prefix,
                }
            headers |= {"Host": upstream.netloc, **(added or {})}
            connection = http.client.HTTPConnection(upstream.hostname or "", upstream.port, timeout=30)
            try:
                path = self.path.removeprefix(prefix) if strip else self.path
                connection.request(self.command, path, body or None, headers)
                answer = connection.getresponse()
                data = answer.read()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in {*HOP_BY_HOP, "content-length", "date"}:
                        self.send_header(name, value)
                if answer.status not in (204, 304):
                    self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            finally:
                connection.close()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}{prefix}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
