"""Disguise: replies of Redis in which the addresses of servers are those of the proxies in front of them.

Pure: bytes in, bytes out, for one connection. Reads replies element by element, however they are cut into chunks.

Guarantees: a port is changed only where it is part of an address that a client is to dial: right after the host, as a
string (SENTINEL GET-MASTER-ADDR-BY-NAME) or a number (CLUSTER SLOTS); after the host and the word `port` (SENTINEL
MASTER); at the end of a MOVED or ASK. Everything else passes as it came, whatever digits are in it.

What Andon does not ask is not disguised: CLUSTER NODES and SHARDS, INFO, messages of sentinels. Whoever began to ask it
would dial past the proxies, and `tests.chaos.network` would see that.
"""

from collections.abc import Mapping
from typing import Final

_END: Final = b"\r\n"
_HOST: Final = b"$9\r\n127.0.0.1\r\n"
_PORT: Final = b"$4\r\nport\r\n"
# A longer string is no part of an address: it is passed on before it is whole.
_LONG_BYTES: Final = 64


class Disguise:
    """What one connection is told. `ports`: real ones to those of proxies."""

    def __init__(self, ports: Mapping[int, int]) -> None:
        # Elements, and what is said instead, right after a host.
        self._elements = {b":%d\r\n" % real: b":%d\r\n" % seen for real, seen in ports.items()}
        for real, seen in ports.items():
            self._elements[_string(real)] = _string(seen)
        # What ends a MOVED or ASK.
        self._redirects = {b"127.0.0.1:%d\r\n" % real: b"127.0.0.1:%d\r\n" % seen for real, seen in ports.items()}
        # An element that has begun and is not whole.
        self._begun = b""
        # Of a long string: what is still to come, and passes.
        self._coming_bytes = 0
        # The last elements were a host, or a host and the word `port`.
        self._is_at_port = False

    def translate(self, data: bytes) -> bytes:
        """Return what can be said of all that was heard so far; an element that is not whole waits for its rest."""
        passed, heard = data[: self._coming_bytes], self._begun + data[self._coming_bytes :]
        self._coming_bytes -= len(passed)
        said, at = [passed], 0
        while (end := _end(heard, at)) is not None:
            said.append(self._instead_of(heard[at:end]))
            at = end
        self._begun = heard[at:]
        self._coming_bytes += max(0, at - len(heard))
        return b"".join(said)

    def _instead_of(self, element: bytes) -> bytes:
        was_at_port = self._is_at_port
        self._is_at_port = element == _HOST or (was_at_port and element == _PORT)
        if was_at_port:
            return self._elements.get(element, element)
        if element.startswith((b"-MOVED ", b"-ASK ")):
            what, space, where = element.rpartition(b" ")
            return what + space + self._redirects.get(where, where)
        return element


def _string(port: int) -> bytes:
    word = b"%d" % port
    return b"$%d\r\n%b\r\n" % (len(word), word)


def _end(heard: bytes, at: int) -> int | None:
    """Find the end of the element that begins here, of a long string also before it has come; None for not yet."""
    newline = heard.find(_END, at)
    if newline < 0:
        return None
    end = newline + len(_END)
    # All but a string is one line: `$-1` is the string that is none.
    length = int(heard[at + 1 : newline]) if heard.startswith(b"$", at) else -1
    if length >= 0:
        end += length + len(_END)
    return end if end <= len(heard) or length > _LONG_BYTES else None
