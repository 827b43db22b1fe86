"""Caller: who is calling over HTTP."""

from starlette.requests import HTTPConnection

from andon.ids import Principal
from gateway.doorkeeper import Doorkeeper


async def principal_of(connection: HTTPConnection) -> Principal:
    """Tell who is calling. Raises UnauthorizedError."""
    doorkeeper: Doorkeeper = connection.app.state.doorkeeper
    return await doorkeeper.admit(connection)
