"""Static keys: API keys of a file, which holds their digests.

Owns the reading of the file, again whenever it changes. Guarantees: a key that is taken out, or given to somebody
else, stops counting within seconds, for new connections and for those that are open. A file that cannot be read
changes nothing: what was read before goes on counting, and the log says so.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import structlog

from andon.apikeys import BadKeysFile, KeyEntry, digest, parse
from andon.errors import StartError
from andon.lifetime import background
from andon.settings import Settings
from gateway.auth.permit import EXPIRED, REVOKED, Permit, invalid_token

_log = structlog.get_logger(__name__)

_LOOK_EVERY_S: Final = 1.0


class StaticKeys:
    """The authenticator of `ANDON_AUTH=keys`."""

    def __init__(self, settings: Settings) -> None:
        if not settings.keys_file:
            raise StartError("ANDON_AUTH=keys needs ANDON_KEYS_FILE: the file of keys; `andon key` makes its entries")
        self._path = Path(settings.keys_file)
        self._grace_s = settings.auth_grace_s
        try:
            # What the file was when it was read; it is read again when this changes.
            self._version, self._entries = _read(self._path)
        except (OSError, UnicodeDecodeError, BadKeysFile) as error:
            raise StartError(f"ANDON_KEYS_FILE cannot be read: {_why(error)}") from None

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Follow the file for as long as the context lasts."""
        async with background(self._follow()):
            yield

    async def check(self, token: str) -> Permit:
        """Look a key up. Raises UnauthorizedError.

        Looked up by its digest: how long that takes tells nothing of use about any other key.
        """
        entry = self._entries.get(digest(token))
        if entry is None:
            raise invalid_token("The key is unknown, or was revoked.")
        if entry.expires_at is not None and time.time() >= entry.expires_at:
            raise invalid_token("The key has expired.")
        return Permit(entry.principal, entry.expires_at, entry.sha256)

    def lapsed(self, permit: Permit, now: float) -> str | None:
        """Say that a key was revoked, at once, or that it has expired, after the grace."""
        entry = self._entries.get(permit.key or "")
        if entry is None or entry.principal != permit.principal:
            return REVOKED
        return EXPIRED if entry.expires_at is not None and now > entry.expires_at + self._grace_s else None

    async def _follow(self) -> None:
        is_told = False
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            try:
                # In a thread: the file may be on a network's disk.
                version, entries = await asyncio.to_thread(_read_if_changed, self._path, self._version)
            except (OSError, UnicodeDecodeError, BadKeysFile) as error:
                if not is_told:
                    _log.warning("keys.unreadable", why=_why(error), keys=len(self._entries))
                is_told = True
                continue
            is_told = False
            if entries is not None:
                self._version, self._entries = version, entries
                _log.info("keys.read", keys=len(entries))


_Version = tuple[int, int, int]


def _read_if_changed(path: Path, known: _Version) -> tuple[_Version, dict[str, KeyEntry] | None]:
    version = _version(path)
    return (known, None) if version == known else _read(path)


def _read(path: Path) -> tuple[_Version, dict[str, KeyEntry]]:
    # The version first: a change between the two is then seen at the next look.
    return _version(path), parse(path.read_text(encoding="utf-8"))


def _version(path: Path) -> _Version:
    found = os.stat(path)  # noqa: PTH116  the same, and the name says what it is
    return found.st_mtime_ns, found.st_size, found.st_ino


def _why(error: Exception) -> str:
    return error.strerror or "unreadable" if isinstance(error, OSError) else str(error)
