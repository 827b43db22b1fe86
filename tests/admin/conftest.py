"""A gateway in this process whose callers say themselves who they are, over a real server and real sockets."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import httpx2
import msgspec
import pytest
import uvicorn
from starlette.requests import HTTPConnection

from andon.database import Database
from andon.embedded import EmbeddedValkey
from andon.ids import Principal
from andon.scopes import ADMIN, ADMIN_ALL
from andon.settings import Settings
from andon.store import Store
from gateway.app import Gateway, create_app
from gateway.auth.permit import Permit
from gateway.wire import BoundedWebSocketProtocol
from tests.admin.published import check_answer

SUPER = Principal("ops", "olga", frozenset({ADMIN_ALL}))
OPERATOR_A = Principal("a", "arno", frozenset({ADMIN}))
USER_A = Principal("a", "ann")
USER_B = Principal("b", "bob")


class _Believer:
    """Takes every caller's word for who it is."""

    async def permit(self, connection: HTTPConnection) -> Permit:
        """Read the header."""
        return Permit(msgspec.json.decode(connection.headers["x-principal"], type=Principal))


def word_of(principal: Principal) -> dict[str, str]:
    """Return the header that says who is calling."""
    return {"x-principal": msgspec.json.encode(principal).decode()}


class Office:
    """The gateway, and the store behind it."""

    def __init__(self, port: int, store: Store) -> None:
        self.port = port
        self.store = store
        self.database = store.database

    @property
    def feed(self) -> str:
        """Its feed."""
        return f"ws://127.0.0.1:{self.port}/v1/admin/feed"

    @contextlib.asynccontextmanager
    async def as_(self, principal: Principal) -> AsyncIterator[httpx2.AsyncClient]:
        """Lend a client that calls as this principal."""
        async with httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}",
            headers=word_of(principal),
            trust_env=False,
            verify=False,
            timeout=30,
            event_hooks={"response": [check_answer]},
        ) as client:
            yield client


@pytest.fixture
async def office(valkey: EmbeddedValkey) -> AsyncIterator[Office]:
    """Give a gateway over an empty server."""
    settings = Settings(redis_url=valkey.url, lease_s=2, cancel_wait_s=0.2)
    async with Database(valkey.url, timeout_s=2.0).open() as database:
        await database.wait_connected(15)
        await database.call("FLUSHALL")
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:
            async with Gateway(settings).open() as gateway, serving(gateway, listener):
                yield Office(listener.getsockname()[1], Store(database, settings))


@contextlib.asynccontextmanager
async def serving(gateway: Gateway, listener: socket.socket) -> AsyncIterator[None]:
    """Serve it for the length of a block."""
    app = create_app(gateway)
    app.state.doorkeeper = _Believer()
    config = uvicorn.Config(app, ws=BoundedWebSocketProtocol, lifespan="off", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.ensure_future(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await task
