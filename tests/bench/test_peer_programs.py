"""What the bench is told to start for a peer."""

import pytest

from bench.contender import Place, Role
from bench.peers import PEERS

_PLACE = Place(upstream="http://127.0.0.1:1/v1", redis_url="redis://127.0.0.1:2/0", gateways=2, workers=3)


@pytest.mark.parametrize("name", PEERS)
def test_each_start_has_names_of_its_own_in_the_shared_redis(name: str) -> None:
    """The processes of one start find each other, and none that another start left a job or a stop for."""
    one, other = (PEERS[name].programs(_PLACE) for _ in range(2))
    assert len({program.env["NAMESPACE"] for program in one}) == 1
    assert one[0].env["NAMESPACE"] != other[0].env["NAMESPACE"]


@pytest.mark.parametrize("name", PEERS)
def test_as_many_processes_as_asked_for(name: str) -> None:
    """Two replicas, and three workers where it has workers."""
    roles = [program.role for program in PEERS[name].programs(_PLACE)]
    assert roles in ([Role.BOTH] * 2, [Role.GATEWAY] * 2 + [Role.WORKER] * 3)


def test_readiness_is_read_from_what_they_print() -> None:
    """A web process tells its port; a worker, which listens nowhere, that it is ready."""
    web, worker = PEERS["naive"].programs(_PLACE)[0], PEERS["naive"].programs(_PLACE)[-1]
    assert web.ready(b"INFO:     Uvicorn running on http://127.0.0.1:34957 (Press CTRL+C to quit)\n") == 34957
    assert web.ready(b"INFO:     Waiting for application startup.\n") is None
    assert worker.ready(b"worker ready\n") == 0
    assert worker.ready(b"Traceback\n") is None
