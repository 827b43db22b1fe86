"""Access: the operator at the door."""

from starlette.requests import HTTPConnection

from andon.errors import ForbiddenError
from andon.ids import Principal
from andon.scopes import ADMIN, ADMIN_ALL, is_operator
from gateway.http.caller import principal_of


async def operator_of(connection: HTTPConnection) -> Principal:
    """Tell which operator is calling. Raises ForbiddenError for anybody else."""
    principal = await principal_of(connection)
    if not is_operator(principal):
        raise no_operator()
    return principal


def no_operator() -> ForbiddenError:
    """Say what is missing."""
    return ForbiddenError("not_an_operator", f"This needs a token with the scope `{ADMIN}` or `{ADMIN_ALL}`.")
