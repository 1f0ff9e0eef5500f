"""Log lines as JSON on stderr, each with the id of its request, none with a secret."""

import logging
import re
import sys
from contextvars import ContextVar
from datetime import UTC, datetime

import msgspec

# Of the request that the current task works for; empty outside of requests.
request_id: ContextVar[str] = ContextVar("request_id", default="")
# Of the trace that the request came within, if it did.
trace_id: ContextVar[str] = ContextVar("trace_id", default="")

SECRETS = re.compile(
    r"""(?ix)
    (?P<scheme> \b bearer \s+ ) [^\s"',]+            # a header, however it got here
  | (?P<prefix> \b sk[ts]? _ ) [a-z0-9_-]{4,}        # a key, or the token of a project or share
  | (?P<hook> \b whsec_ ) [a-z0-9+/=]{4,}         # what a webhook is signed by
  | (?P<url> :// [^:/@\s]* : ) [^@\s]+ (?= @ )       # the password in a database address
    """
)


def redact(text: str) -> str:
    """The text without keys, tokens and passwords."""
    return SECRETS.sub(lambda found: f"{found[found.lastgroup or 0]}[redacted]", text)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``ts``, ``level``, ``logger``, ``message``, and ``request_id``, ``trace_id`` and ``error`` if any."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        if current := request_id.get():
            line["request_id"] = current
        if trace := trace_id.get():
            line["trace_id"] = trace
        if record.exc_info:
            line["error"] = redact(self.formatException(record.exc_info))
        try:
            return msgspec.json.encode(line).decode()
        except UnicodeEncodeError:
            # Whatever is wrong with a text, its line is written.
            return ascii(line)


def set_up_logging(level: str = "info") -> None:
    """Send all logging of this process from ``level`` on to stderr as JSON lines; replaces what was set up before."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
