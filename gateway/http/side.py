"""Side: the HTTP side of a gateway: its doors, and what they share."""

from andon.settings import Settings
from andon.store import Store
from gateway.contract.operation import OperationRoute
from gateway.http.answering import Answering
from gateway.http.chat.door import ChatDoor
from gateway.http.creator import Creator
from gateway.http.responses import ResponsesDoor
from gateway.hub import Hub
from gateway.sockets import Sockets
from gateway.stops import Stops


class HttpSide:
    """What a gateway has for HTTP."""

    def __init__(self, *, store: Store, hub: Hub, stops: Stops, sockets: Sockets, settings: Settings) -> None:
        creator = Creator(store=store, stops=stops, settings=settings)
        answering = Answering(store=store, hub=hub, stops=stops, sockets=sockets, settings=settings)
        self.waits = answering.waits
        self._responses = ResponsesDoor(
            store=store, stops=stops, creator=creator, answering=answering, settings=settings
        )
        self._chat = ChatDoor(creator=creator, answering=answering, settings=settings)

    def routes(self) -> list[OperationRoute]:
        """List the routes."""
        return [*self._responses.routes(), *self._chat.routes()]
