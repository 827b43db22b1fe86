"""What a process behind proxies is told of the servers' addresses, and that all else reaches it as it was said."""

import random

import pytest

from tests.chaos.disguise import Disguise

_PORTS = {22801: 40001, 22802: 40002, 29899: 61_000}

# Replies that name servers to dial: as they are said, and as they are heard.
_ADDRESSES = {
    "get-master-addr": (
        b"*2\r\n$9\r\n127.0.0.1\r\n$5\r\n22801\r\n",
        b"*2\r\n$9\r\n127.0.0.1\r\n$5\r\n40001\r\n",
    ),
    "sentinel master": (
        b"*6\r\n$2\r\nip\r\n$9\r\n127.0.0.1\r\n$4\r\nport\r\n$5\r\n22802\r\n$5\r\nrunid\r\n$5\r\n22802\r\n",
        b"*6\r\n$2\r\nip\r\n$9\r\n127.0.0.1\r\n$4\r\nport\r\n$5\r\n40002\r\n$5\r\nrunid\r\n$5\r\n22802\r\n",
    ),
    "cluster slots": (
        b"*4\r\n:0\r\n:5460\r\n*3\r\n$9\r\n127.0.0.1\r\n:22801\r\n$1\r\na\r\n*2\r\n$9\r\n127.0.0.1\r\n:29899\r\n",
        b"*4\r\n:0\r\n:5460\r\n*3\r\n$9\r\n127.0.0.1\r\n:40001\r\n$1\r\na\r\n*2\r\n$9\r\n127.0.0.1\r\n:61000\r\n",
    ),
    "moved": (b"-MOVED 3999 127.0.0.1:22802\r\n", b"-MOVED 3999 127.0.0.1:40002\r\n"),
    "ask": (b"-ASK 3999 127.0.0.1:22802\r\n", b"-ASK 3999 127.0.0.1:40002\r\n"),
}

_LONG = b"$9\r\n127.0.0.1\r\n:22801\r\n-MOVED 1 127.0.0.1:22801\r\n" * 120
# What looks like an address, and is none.
_DATA = {
    "a number": b":22801\r\n",
    "a string": b"$5\r\n22801\r\n",
    "a reply in a string": b"$26\r\n$9\r\n127.0.0.1\r\n$5\r\n22801\r\n\r\n",
    "replies in a long string": b"$100\r\n%b\r\n" % _LONG[:100],
    "in another array than the host": b"*2\r\n$9\r\n127.0.0.1\r\n*1\r\n$5\r\n22801\r\n",
    "before the host": b"*4\r\n$4\r\nport\r\n$5\r\n22801\r\n$9\r\n127.0.0.1\r\n$2\r\nip\r\n",
    "of no server here": b"*2\r\n$9\r\n127.0.0.1\r\n$5\r\n22803\r\n",
    "in another error": b"-ERR no 127.0.0.1:22801\r\n",
    "nothing at all": b"*-1\r\n$-1\r\n$0\r\n\r\n+OK\r\n",
}


@pytest.mark.parametrize(("said", "heard"), _ADDRESSES.values(), ids=_ADDRESSES)
def test_a_servers_address_becomes_that_of_its_proxy(said: bytes, heard: bytes) -> None:
    """However it is cut in two."""
    for at in range(len(said) + 1):
        disguise = Disguise(_PORTS)
        assert disguise.translate(said[:at]) + disguise.translate(said[at:]) == heard


@pytest.mark.parametrize("said", _DATA.values(), ids=_DATA)
def test_data_that_looks_like_an_address_is_left_alone(said: bytes) -> None:
    """However it is cut in two, and nothing of it waits for what comes next."""
    for at in range(len(said) + 1):
        disguise = Disguise(_PORTS)
        assert disguise.translate(said[:at]) + disguise.translate(said[at:]) == said


def test_a_stream_in_chunks_of_any_size_is_translated_as_a_whole() -> None:
    """Addresses among data, and long strings among both, some of them kilobytes."""
    choose = random.Random(8)
    unchanged = [*_DATA.values(), b"$5000\r\n%b\r\n" % _LONG[:5000]]
    pieces = [*_ADDRESSES.values(), *((data, data) for data in unchanged)]
    chosen = choose.choices(pieces, k=400)
    said, heard = b"".join(piece[0] for piece in chosen), b"".join(piece[1] for piece in chosen)
    disguise, at, told = Disguise(_PORTS), 0, b""
    while at < len(said):
        size = choose.choice((1, 2, 7, 40, 700, 9000))
        told += disguise.translate(said[at : at + size])
        at += size
    assert told == heard


def test_a_long_string_does_not_wait_for_its_end() -> None:
    """What a stream's reader gets late is late because of the network, not of its disguise."""
    disguise = Disguise(_PORTS)
    assert disguise.translate(b"$1000\r\nabc") == b"$1000\r\nabc"
    assert disguise.translate(b"d" * 10) == b"d" * 10
