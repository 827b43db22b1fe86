"""Access: the operator at the door."""

from starlette.requests import HTTPConnection

from andon.errors import ForbiddenError
from andon.ids import Principal
from andon.scopes import ADMIN, ADMIN_ALL, is_operator
from gateway.auth.permit import Permit
from gateway.http.caller import permit_of


async def operator_of(connection: HTTPConnection) -> Principal:
    """Tell which operator is calling. Raises ForbiddenError for anybody else."""
    return (await operators_permit(connection)).principal


async def operators_permit(connection: HTTPConnection) -> Permit:
    """Tell which operator is calling, and until when that holds. Raises ForbiddenError for anybody else."""
    permit = await permit_of(connection)
    if not is_operator(permit.principal):
        raise no_operator()
    return permit


def no_operator() -> ForbiddenError:
    """Say what is missing."""
    return ForbiddenError("not_an_operator", f"This needs a token with the scope `{ADMIN}` or `{ADMIN_ALL}`.")
