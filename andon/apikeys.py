"""API keys: static keys, and the file that says whose they are.

Owns how a key is made, its digest, and the form of the file: the gateway reads it, `andon key` writes its entries.
Guarantees: the file holds no key. A key has 256 random bits, so its plain SHA-256 leads nobody back to it; the slow
digests that passwords need would only cost time here.
"""

import datetime as dt
import hashlib
import secrets
import tomllib
from typing import Annotated, Final

import msgspec

from andon.errors import AndonError
from andon.ids import ANONYMOUS, Principal

# Recognisable, for whoever searches repositories for secrets.
_PREFIX: Final = "andon_"
_RANDOM_BYTES: Final = 32

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class BadKeysFile(AndonError):  # noqa: N818 - the condition is the name
    """The file says something that is no entry; the message says what, and holds no digest."""


class KeyEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One key of the file. `expires`: from when it counts no more."""

    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    subject: Name
    tenant: Name = ANONYMOUS.tenant
    scopes: list[Annotated[str, msgspec.Meta(min_length=1, max_length=256)]] = []
    expires: dt.datetime | None = None

    @property
    def principal(self) -> Principal:
        """Who calls with this key."""
        return Principal(self.tenant, self.subject, frozenset(self.scopes))

    @property
    def expires_at(self) -> float | None:
        """Unix seconds; a time without a zone is UTC."""
        if self.expires is None:
            return None
        zone = self.expires.tzinfo or dt.UTC
        return self.expires.replace(tzinfo=zone).timestamp()


class _File(msgspec.Struct, forbid_unknown_fields=True):
    keys: list[KeyEntry] = []


def new_key() -> str:
    """Make a key. It can stand in a header and among subprotocols as it is."""
    return _PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def digest(key: str) -> str:
    """Return what of a key is kept."""
    return hashlib.sha256(key.encode()).hexdigest()


def parse(text: str) -> dict[str, KeyEntry]:
    """Read a file's entries, by digest. Raises BadKeysFile."""
    try:
        entries = msgspec.convert(tomllib.loads(text), _File).keys
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise BadKeysFile(str(error)) from None
    found = {entry.sha256: entry for entry in entries}
    if len(found) != len(entries):
        raise BadKeysFile("the same key stands in it twice")
    for number, entry in enumerate(entries):
        if not (entry.subject.isprintable() and entry.tenant.isprintable()):
            raise BadKeysFile(f"a name that cannot be printed - at `$.keys[{number}]`")
    return found


def written(entry: KeyEntry) -> str:
    """Write an entry as it stands in the file."""
    lines = ["[[keys]]", f'sha256 = "{entry.sha256}"', f"subject = {_quoted(entry.subject)}"]
    lines.append(f"tenant = {_quoted(entry.tenant)}")
    if entry.scopes:
        lines.append(f"scopes = [{', '.join(map(_quoted, entry.scopes))}]")
    if entry.expires is not None:
        lines.append(f"expires = {entry.expires.isoformat()}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Quote for TOML: its basic strings are JSON's, but for DEL, which no name has."""
    return msgspec.json.encode(text).decode()
