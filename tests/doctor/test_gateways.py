"""A whole deployment: well, and with something wrong in front of its gateways."""

from pathlib import Path

import pytest

from andon.apikeys import KeyEntry, digest, new_key, written
from andon.doctor.finding import Verdict
from tests.delivery.nginx import proxy
from tests.doctor.clinic import examined
from tests.stack.ports import free_port
from tests.stack.servers import client_of
from tests.stack.stack import Stack

# Nothing of these is a fault of the deployment: how quick a busy test machine is.
OF_THE_MACHINE = {"latency"}
pytestmark = pytest.mark.timeout(300)  # it may have to install nginx


def keys_of(stack: Stack) -> set[str]:
    """Return the keys of jobs, sessions and workers; not those that processes write all the time."""
    found: set[str] = set()
    for node in stack.servers.masters():
        with client_of(node) as client:
            found.update(
                key for key in client.scan_iter(count=1000) if ":turn:" not in key and not key.endswith(":gateway")
            )
    return found


async def test_a_deployment_that_is_well_has_nothing_to_mend(well: Stack) -> None:
    """From the settings to a real stop, through one gateway and the other, on whatever Redis: no false alarm."""
    found = await examined(well.environment(), *(gateway.http for gateway in well.gateways), stops=True)
    assert {finding.check for finding in found.to_mend()} <= OF_THE_MACHINE
    assert [finding for finding in found if finding.verdict is Verdict.SKIPPED] == []
    (stop,) = found.of("stop")
    assert well.gateways[0].http in stop.found
    assert well.gateways[1].http in stop.found
    assert "upstream closed" in stop.found


async def test_without_a_gateway_the_stop_is_made_by_the_contract(well: Stack) -> None:
    """Only when asked for: it costs tokens."""
    assert (await examined(well.environment())).of("stop")[0].verdict is Verdict.SKIPPED
    found = await examined(well.environment(), stops=True)
    assert "by the contract" in found.of("stop")[0].found
    assert {finding.check for finding in found.to_mend()} <= OF_THE_MACHINE


async def test_what_costs_nothing_leaves_nothing(well: Stack) -> None:
    """The response that the doctor plays itself is gone, and the model was not asked."""
    before, asked = keys_of(well), len((await well.meter.read()).requests)
    found = await examined(well.environment(), well.gateways[0].http)
    assert found.of("streaming")[0].verdict is Verdict.OK
    assert keys_of(well) <= before
    assert len((await well.meter.read()).requests) == asked


async def test_a_model_that_fails_is_told_with_its_cause(well: Stack) -> None:
    """The stop cannot be tried; why is what the response says."""
    found = await examined(well.environment(), well.gateways[0].http, model="sim-400", stops=True)
    told = found.bad("stop")
    assert "upstream_rejected" in told
    assert "--model" in told


async def test_a_proxy_that_does_not_upgrade(well: Stack, tmp_path: Path) -> None:
    """HTTP gets through, WebSockets do not: nginx as one finds it. What needs them is not tried."""
    async with proxy([gateway.port for gateway in well.gateways], tmp_path) as authority:
        found = await examined(well.environment(), f"http://{authority}", stops=True)
    told = found.bad("gateways")
    assert "does not upgrade to a websocket" in told
    assert "proxy_set_header upgrade" in told
    assert found.of("stop")[0].verdict is Verdict.SKIPPED


@pytest.mark.parametrize("is_held_back", [False, True], ids=["passed on", "held back"])
async def test_a_proxy_that_buffers(well: Stack, tmp_path: Path, is_held_back: bool) -> None:
    """Told from one that passes each event on, however little is said, also if that is what nginx does by itself."""
    location = (
        "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; "
        'proxy_set_header Connection "upgrade"; proxy_read_timeout 1h;'
    )
    if is_held_back:
        # Buffering alone holds nothing back for long; compressing what is buffered does.
        location += "proxy_ignore_headers X-Accel-Buffering; gzip on; gzip_proxied any; gzip_types text/event-stream;"
    async with proxy([gateway.port for gateway in well.gateways], tmp_path, location) as authority:
        # A healthy one has all the time in the world.
        found = await examined(well.environment(), f"http://{authority}", patience_s=2.0 if is_held_back else 20.0)
    if is_held_back:
        assert "proxy_buffering off" in found.bad("streaming")
    else:
        assert found.of("streaming")[0].verdict is Verdict.OK


async def test_a_token_that_is_refused(well: Stack, tmp_path: Path) -> None:
    """The gateway's own word on it; with a good one the response is made in the name of whoever it is."""
    key = new_key()
    well.secrets.add(key)
    file = tmp_path / "keys.toml"
    file.write_text(written(KeyEntry(digest(key), "doctor")))
    gateway = await well.start_gateway(ANDON_AUTH="keys", ANDON_KEYS_FILE=str(file))
    try:
        environ = well.environment(ANDON_AUTH="keys", ANDON_KEYS_FILE=str(file))
        refused = await examined(environ, gateway.http, token="andon_of-nobody")
        found = await examined(environ, gateway.http, token=key)
    finally:
        await gateway.stop()
        well.gateways.remove(gateway)
    assert "does not let this token in (401)" in refused.bad("gateways")
    assert found.of("gateways")[0].verdict is Verdict.OK
    assert found.of("streaming")[0].verdict is Verdict.OK
    assert key not in str(found)


async def test_a_gateway_on_another_redis(well: Stack, stack: Stack) -> None:
    """Everything answers, and nothing fits together."""
    found = await examined(well.environment(), stack.gateways[0].http)
    assert "same andon_redis_url" in found.bad("streaming")


async def test_a_gateway_that_is_not_there(well: Stack) -> None:
    """Whoever named it is told."""
    found = await examined(well.environment(), f"http://127.0.0.1:{free_port()}", stops=True)
    assert "nobody listens" in found.bad("gateways")
