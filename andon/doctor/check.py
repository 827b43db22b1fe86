"""Check: one thing that the doctor looks at."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from andon.doctor.finding import Finding
from andon.doctor.site import Site

# What must be well before the contract's own connection is of any use.
DATABASE: Final = ("reach", "version", "topology", "permissions", "replicas", "scripts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A look, its name, and what it asks. `needs`: checks that must not have failed before it makes sense."""

    name: str
    asks: str
    look: Callable[[Site], Awaitable[list[Finding]]]
    needs: tuple[str, ...] = ("reach",)
