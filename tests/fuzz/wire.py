"""Wire: bytes as they go over TCP: handshakes, frames and requests that no client library would write.

Owns the strategies and the exchange: write all of it, wait for an answer or none, and end the connection, politely or
not. What comes back is not judged here, but that there is an HTTP status where one is due.
"""

import asyncio
import contextlib
import re
import socket
import struct
from typing import Final, Literal

import msgspec
from hypothesis import strategies as st

from tests.fuzz import size
from tests.fuzz.frames import EVENTS
from tests.stack.stack import Gateway

Ending = Literal["wait", "half", "reset"]
_WAIT_S: Final = 20.0
_MASK: Final = b"\x01\x02\x03\x04"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


# ── WebSocket frames ─────────────────────────────────────────────────────────────────────────────────────────────────


def frame(opcode: int, payload: bytes, *, fin: bool = True, masked: bool = True, reserved: int = 0) -> bytes:
    head = bytes([(0x80 if fin else 0) | reserved << 4 | opcode])
    bit = 0x80 if masked else 0
    if len(payload) < 126:
        head += bytes([bit | len(payload)])
    else:
        head += bytes([bit | 126]) + struct.pack("!H", len(payload))
    if not masked:
        return head + payload
    return head + _MASK + bytes(byte ^ _MASK[place % 4] for place, byte in enumerate(payload))


_PAYLOADS = (
    EVENTS.map(lambda event: msgspec.json.encode(event)[:60_000])
    | st.binary(max_size=200)
    | st.sampled_from([b"", b"\xff", b'{"type":"ping"}', b"\xe2\x82", b"{"])
)
_CLOSES = st.builds(
    lambda code, reason: struct.pack("!H", code) + reason, st.integers(0, 65535), st.binary(max_size=20)
) | st.sampled_from([b"", b"\x03", struct.pack("!H", 1000), struct.pack("!H", 1005)])
_FRAMES = st.one_of(
    st.builds(frame, st.just(TEXT), _PAYLOADS),
    st.builds(frame, st.just(TEXT), _PAYLOADS),
    st.builds(frame, st.just(TEXT), _PAYLOADS, fin=st.just(False)),
    st.builds(frame, st.just(0), _PAYLOADS, fin=st.booleans()),
    st.builds(frame, st.sampled_from([BINARY, PING, PONG]), st.binary(max_size=125)),
    st.builds(frame, st.just(CLOSE), _CLOSES),
    st.builds(frame, st.integers(0, 15), st.binary(max_size=140), fin=st.booleans(), masked=st.booleans(),
              reserved=st.integers(0, 7)),
    st.binary(max_size=30),
    # A length that is announced and never comes; 2^63 and more among them.
    st.sampled_from([b"\x81\xff" + b"\xff" * 8, b"\x81\xff" + struct.pack("!Q", 2**40), b"\x81\xfe\x00", b"\x81"]),
)  # fmt: skip
FRAME_BYTES = st.lists(_FRAMES, min_size=1, max_size=8)

# ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────────────

_VALUES = st.sampled_from(
    ["", "close", "keep", "x" * 128, "x" * 129, "%00", "%ff", "%E2%82", "%F0%9F%98%80", "resp_", "-1", "0", "1_0",
     "%20 5", "9" * 400, "%D9%A3", "a&b", "%", "+", "true", "\xff", "resp_" + "a" * 40, "resp_" + "a" * 40 + "%0a"]
) | st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=12)  # fmt: skip
_NAMES = st.sampled_from(
    ["session", "on_stop", "response_id", "starting_after", "stream", "limit", "cursor", "after", "min_age_s", "state",
     "q", "token", "x", ""]
)  # fmt: skip
_QUERIES = st.lists(st.tuples(_NAMES, _VALUES), max_size=4).map(
    lambda pairs: "&".join(f"{name}={value}" for name, value in pairs)
)
_PATHS = st.sampled_from(
    ["/v1/responses", "/v1/responses", "/v1/responses", "/v1/responses/", "/", "//", "/v1/responses/resp_" + "a" * 40,
     "/v1/responses/%00", "/v1/responses/resp_%0a/cancel", "/v1/sessions/a/b/stop", "/v1/sessions//stop",
     "/v1/sessions/%ff%fe/stop", "/v1/chat/completions", "/v1/admin/feed", "/v1/admin/feed", "/v1/admin/responses",
     "/v1/admin/stops", "/v1/admin/stops/%ff", "/v1/admin/audit", "/healthz", "/readyz", "/openapi.json", "*",
     "http://a/healthz", "/v1/responses\xff", "/é", "/v1/../v1/responses", "/" + "x" * 5000]
) | st.text(st.characters(codec="latin-1", exclude_characters="\r\n "), max_size=20).map("/".__add__)  # fmt: skip
_HEADERS = st.lists(
    st.sampled_from(
        ["Sec-WebSocket-Protocol: andon.v1", "Sec-WebSocket-Protocol: , ,", "Sec-WebSocket-Protocol: \xff",
         'Sec-WebSocket-Extensions: permessage-deflate; x="', "Origin: null", "X-Andon-Session: \xff\xfe",
         "X-Andon-Session: é", "X-Andon-Session:", "Idempotency-Key: " + "k" * 256, "Idempotency-Key: \xe9",
         "Authorization: Bearer", "Authorization: Bearer \xff", "Content-Type: text/plain", "Content-Length: 5",
         "Content-Length: -1", "Content-Length: 99999999999", "Content-Length: \xb2", "Transfer-Encoding: chunked",
         "Transfer-Encoding: gzip", "Expect: 100-continue", "Host: ", "Host: a:b", "X: " + "y" * 9000, "Bad", ": x",
         "Connection: close"]
    ),
    max_size=2,
    unique=True,
)  # fmt: skip
_UPGRADE: Final = (
    "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)  # fmt: skip
_UPGRADES = st.one_of(
    st.just(_UPGRADE), st.just(_UPGRADE), st.sets(st.sampled_from(_UPGRADE)).map(lambda some: tuple(sorted(some)))
)
_BODIES = (
    st.sampled_from([b"", b"{}", b"[]", b"\xff", b"0\r\n\r\n", b"5\r\n{}", b'{"model":"\\ud800"}', b"[" * 5_000])
    | EVENTS.map(msgspec.json.encode)
    | st.binary(max_size=40)
)


def request(method: str, path: str, query: str, headers: tuple[str, ...] | list[str], body: bytes = b"") -> bytes:
    """Write a request as it is."""
    target = path + ("?" + query if query else "")
    lines = [f"{method} {target} HTTP/1.1", "Host: andon", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


HANDSHAKES = st.builds(
    lambda path, query, upgrade, others: request("GET", path, query, (*upgrade, *others)),
    _PATHS, _QUERIES, _UPGRADES, _HEADERS,
)  # fmt: skip
REQUESTS = st.builds(
    lambda method, path, query, headers, body, is_counted: request(
        method, path, query, [*headers, f"Content-Length: {len(body)}"] if is_counted else headers, body
    ),
    st.sampled_from(["GET", "GET", "POST", "POST", "POST", "PUT", "HEAD", "OPTIONS", "get", "\xff", "CONNECT"]),
    _PATHS, _QUERIES, _HEADERS, _BODIES, st.sampled_from([True, True, False]),
)  # fmt: skip
GOOD_HANDSHAKE: Final = request("GET", "/v1/responses", "session=fuzz-wire", _UPGRADE)
# Of the clients' socket, and of the operators'.
GOOD_HANDSHAKES = st.sampled_from([GOOD_HANDSHAKE, GOOD_HANDSHAKE, request("GET", "/v1/admin/feed", "", _UPGRADE)])
ENDINGS = st.sampled_from(["wait", "half", "reset"])


# ── the exchange ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def exchange(gateway: Gateway, written: bytes, more: list[bytes], ending: Ending) -> int | None:
    """Write, and end; return the HTTP status of the first answer, None where none came. `more`: after an upgrade."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    status = None
    try:
        writer.write(written)
        if more or ending != "reset":
            status = await _status(reader, writer)
        if more:
            writer.write(b"".join(more))
        await writer.drain()
        if ending == "half":
            writer.write_eof()
            async with asyncio.timeout(_WAIT_S):
                await reader.read()
        elif ending == "reset":
            _linger_not(writer)
    except ConnectionError:
        pass  # ended by the gateway, which it may
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    size.answered[f"status {status}"] += 1
    return status


async def _status(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int | None:
    """Read the status line. A request whose body is not whole has none until the client gives up."""
    line = b""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.3):
            line = await reader.readline()
    if not line:
        if writer.can_write_eof():
            writer.write_eof()
        async with asyncio.timeout(_WAIT_S):
            line = await reader.readline()
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", line)
    return int(found[1]) if found else None


def _linger_not(writer: asyncio.StreamWriter) -> None:
    """Make the close a reset."""
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
