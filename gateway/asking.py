"""Asking: who asks for a stop over a connection, for the audit."""

from typing import Final

from starlette.requests import HTTPConnection

from andon.audit import Asker, Door, Role
from andon.ids import Principal
from andon.tracing import context_of

_AGENT_MAX_CHARS: Final = 80


def asker_of(connection: HTTPConnection, principal: Principal, door: Door, role: Role = Role.OWNER) -> Asker:
    """Tell who asks. The address is the peer's: behind a proxy, what uvicorn makes of its headers."""
    address = connection.client.host if connection.client is not None else ""
    agent = connection.headers.get("user-agent", "")[:_AGENT_MAX_CHARS]
    printable = "".join(char for char in agent if char.isprintable())
    return Asker(principal, role, door, address, printable, context_of(connection.headers))
