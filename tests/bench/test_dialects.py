"""What the peers' dialects make of frames, as their servers write them: the load generator knows nothing else."""

import json

import orjson
import pytest

from bench.contender import Kind, Reading
from bench.peers import PEERS


def _json(**message: str) -> list[bytes]:
    return [json.dumps(message).encode(), orjson.dumps(message)]


@pytest.mark.parametrize("name", ["naive", "agno", "open_webui", "sdk_objects"])
def test_json_frames_are_told_apart(name: str) -> None:
    """With a blank after the colon and without."""
    read = PEERS[name].dialect("s").read
    for frame in _json(type="token", id="x", text="~000000001"):
        assert read(frame).kind is Kind.TOKENS
    for frame in _json(type="started", id="x"):
        assert read(frame) == Reading(Kind.STARTED, "x")
    for frame in _json(type="done", id="x", reason="stopped"):
        assert read(frame).kind is Kind.ENDED
    for frame in _json(type="stopping", id="x"):
        assert read(frame).kind is Kind.STOPPING
    for frame in _json(type="error", message="no"):
        assert read(frame).kind is Kind.FAILED


@pytest.mark.parametrize("name", PEERS)
def test_the_prompt_goes_through_as_it_is(name: str) -> None:
    """The bench's words for the model server are within it."""
    assert b"bench/key/50/100/0/" in PEERS[name].dialect("s").create("bench/key/50/100/0/")


def test_socket_io_packets_are_told_apart() -> None:
    """Handshake, heartbeat and events."""
    dialect = PEERS["socketio"].dialect("s")
    kinds = {
        b'0{"sid":"a","upgrades":[],"pingTimeout":20000,"pingInterval":25000}': Kind.OTHER,
        b'40{"sid":"b"}': Kind.READY,
        b'44{"message":"no"}': Kind.FAILED,
        b'42["token",{"id":"x","text":"~000000001"}]': Kind.TOKENS,
        b'42["stopping",{"id":"x"}]': Kind.STOPPING,
        b'42["done",{"id":"x","reason":"stopped"}]': Kind.ENDED,
        b'42["failed",{"id":"x","message":"no"}]': Kind.FAILED,
    }
    assert {frame: dialect.read(frame).kind for frame in kinds} == kinds
    assert dialect.read(b'42["started",{"id":"x"}]') == Reading(Kind.STARTED, "x")
    assert dialect.read(b"2").reply == b"3"
    assert dialect.waits_for_ready
    assert list(dialect.greeting) == [b"40"]
