"""Switch: a query parameter that is on or off."""

from typing import Final, Literal

from starlette.requests import Request

from andon.member import Member

_SWITCHES: Final = {"true": True, "1": True, "false": False, "0": False}


def switch(name: str, meaning: str) -> Member[str]:
    """Describe a switch; absent it is off."""
    return Member[str](name, Literal["true", "1", "false", "0"], "`true` or `false`", meaning, "invalid_value")


def is_on(request: Request, member: Member[str]) -> bool:
    """Read a switch. Raises RequestError."""
    return _SWITCHES[member.checked(request.query_params.get(member.name, "false").lower())]
