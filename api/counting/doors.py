"""The ways by which versions are read, as usage tells them apart."""

API = "api"
MCP = "mcp"
GIT = "git"
DISCOVERY = "discovery"
ZIP = "zip"
CLI = "cli"
CLAWHUB = "clawhub"
SDK = "sdk"
# What only looks, as a page for people does: nothing of it is counted.
UNCOUNTED = "uncounted"

DOORS = (API, MCP, GIT, DISCOVERY, ZIP, CLI, CLAWHUB, SDK)

# How the User-Agent of a command line begins: our own, and that of the agent CLI, whose tools are requests to the API.
COMMAND_LINES = (b"skald-cli", b"posthog-cli/")


def door_of(user_agent: bytes | None, otherwise: str) -> str:
    """A command line is one at whatever address it reads."""
    return CLI if user_agent is not None and user_agent.startswith(COMMAND_LINES) else otherwise
