"""The sim's HTTP protocol: uvicorn's httptools one, with the connection's end made sharp.

Owns two things uvicorn leaves open: a client's FIN ends the connection at once even while unsent bytes wait for it
(uvicorn would flush first, and the sim would go on generating into them), and a shutdown cuts open streams instead
of waiting for them. Does not own HTTP.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from andon.sim.exchange import TRANSPORT


class SimProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Set when the connection is gone for good: the server awaits it before it leaves its loop.
        self.lost = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end of the connection."""
        super().connection_lost(exc)
        self.lost.set()

    def eof_received(self) -> None:
        """Take a client's FIN for its going: no client of a model half-closes."""
        self.transport.abort()

    def on_message_begin(self) -> None:
        """Hand the transport to the app, which can then reset the connection."""
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT: {"transport": self.transport}}

    def shutdown(self) -> None:
        """Cut the connection, whatever runs on it."""
        self.transport.abort()
