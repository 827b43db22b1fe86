"""Caller: who is calling over HTTP."""

from starlette.requests import HTTPConnection

from andon.ids import Principal
from gateway.auth.permit import Permit
from gateway.doorkeeper import Doorkeeper


async def principal_of(connection: HTTPConnection) -> Principal:
    """Tell who is calling. Raises UnauthorizedError."""
    return (await permit_of(connection)).principal


async def permit_of(connection: HTTPConnection) -> Permit:
    """Tell who is calling, and until when that holds. Raises UnauthorizedError."""
    doorkeeper: Doorkeeper = connection.app.state.doorkeeper
    return await doorkeeper.permit(connection)
