"""The keys in the ``state`` of an ASGI scope: each thing that middlewares, guards and handlers of one request share."""

# The record of the request, from its beginning on (``api.http.context``).
RECORD = "record"
# The context of a request that a guard has let in (``api.http.context``).
CONTEXT = "context"
# The client wants the head of the answer alone.
HEAD_ONLY = "head_only"
# Set by the server when it has no client any more to send the answer to.
LEFT = "client_left"
# Its place among the requests that the process works on (``api.server.admission``).
SLOT = "slot"
# ``FastPath.answer`` has none.
MISSED = "missed"
# The message of MCP that it brings (``api.mcp.request``).
MCP_REQUEST = "mcp_request"
