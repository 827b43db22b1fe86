"""Static keys: a file of digests; what is taken out of it stops working, on open sockets too."""

import datetime as dt
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import httpx2
import pytest

from andon.apikeys import BadKeysFile, KeyEntry, digest, new_key, parse, written
from tests.auth.handshakes import as_browser, by_header
from tests.auth.tokens import bearer
from tests.command.andon_command import andon
from tests.stack.prompt import Prompt
from tests.stack.stack import Stack
from tests.stack.waiting import wait_until

_OwnStack = Callable[..., AbstractAsyncContextManager[Stack]]
_REFUSED = (401, "invalid_token", 'Bearer error="invalid_token"')


def _entry(key: str, subject: str, **members: object) -> str:
    return written(KeyEntry(digest(key), subject, **members))  # type: ignore[arg-type]


async def test_a_key_opens_both_doors_until_it_is_taken_out(own_stack: _OwnStack, tmp_path: Path) -> None:
    """For new connections and for open ones, without a restart; the others' keys go on."""
    kept, revoked = new_key(), new_key()
    file = tmp_path / "keys.toml"
    file.write_text(_entry(kept, "alice") + _entry(revoked, "bob"))
    async with own_stack(gateways=1, ANDON_AUTH="keys", ANDON_KEYS_FILE=str(file)) as stack:
        gateway = stack.gateways[0]
        async with stack.connect_as(kept, 0) as stays, stack.connect_as(revoked, 0) as goes:
            response_id = await goes.start(Prompt(tokens=5000, rate=100).body)
            file.write_text(_entry(kept, "alice"))
            assert await goes.closed(30) == (3000, "key_revoked")
            assert not goes.all("response.incomplete")
            await stays.send("ping", event_id="still")
            await stays.event("pong", event_id="still")
        assert await by_header(gateway.url, revoked) == _REFUSED
        assert await by_header(gateway.url, kept) is None
        assert await as_browser(gateway.url, "andon.v1", f"bearer.{kept}") is None
        assert await by_header(gateway.url, new_key()) == _REFUSED
        # A file that cannot be read changes nothing; the next good one counts.
        file.write_text("[[keys]\n")
        await wait_until(lambda: bool(gateway.log_events("keys.unreadable")), what="the file is found unreadable")
        assert await by_header(gateway.url, kept) is None
        file.write_text(_entry(kept, "alice") + _entry(revoked, "bob"))
        await wait_until(lambda: len(gateway.log_events("keys.read")) >= 2, what="the file is read again")
        async with httpx2.AsyncClient(base_url=gateway.http, verify=False, trust_env=False) as http:
            stopped = await http.post(f"/v1/responses/{response_id}/cancel", headers=bearer(revoked))
        assert (stopped.status_code, stopped.json()["status"]) == (200, "cancelled")


async def test_a_key_that_changes_hands_closes_what_it_opened(own_stack: _OwnStack, tmp_path: Path) -> None:
    """Another subject, tenant or scope: whoever is connected connects anew, as what the key is now."""
    key = new_key()
    file = tmp_path / "keys.toml"
    file.write_text(_entry(key, "alice", scopes=["andon:admin"]))
    async with (
        own_stack(gateways=1, workers=0, ANDON_AUTH="keys", ANDON_KEYS_FILE=str(file)) as stack,
        stack.connect_as(key, 0) as client,
    ):
        file.write_text(_entry(key, "alice"))
        assert await client.closed(30) == (3000, "key_revoked")


async def test_a_key_expires(own_stack: _OwnStack, tmp_path: Path) -> None:
    """As its entry says: refused from then on, and open sockets closed after the grace."""
    soon, over = new_key(), new_key()
    expires = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=4)
    file = tmp_path / "keys.toml"
    file.write_text(
        _entry(soon, "alice", expires=expires) + _entry(over, "bob", expires=expires - dt.timedelta(days=1))
    )
    env = {"ANDON_AUTH": "keys", "ANDON_KEYS_FILE": str(file), "ANDON_AUTH_GRACE_S": "0"}
    async with own_stack(gateways=1, workers=0, **env) as stack:
        assert await by_header(stack.gateways[0].url, over) == _REFUSED
        file.write_text(
            _entry(soon, "alice", expires=dt.datetime.now(dt.UTC) + dt.timedelta(seconds=9)) + _entry(over, "bob")
        )
        await wait_until(lambda: bool(stack.gateways[0].log_events("keys.read")), what="the file is read again")
        async with stack.connect_as(soon, 0) as client:
            assert await client.closed(30) == (3000, "token_expired")
        assert await by_header(stack.gateways[0].url, soon) == _REFUSED


def test_the_command_makes_a_key_and_an_entry_that_does_not_hold_it() -> None:
    """The entry on standard output, to be appended; the key on standard error, once."""
    done = andon(
        "key", "--subject", 'o"lga', "--tenant", "acme", "--scope", "andon:admin", "--days", "90", may_show_a_key=True
    )
    assert done.code == 0
    key = done.err.strip().rpartition(" ")[2]
    entries = parse(done.out)
    assert key not in done.out
    entry = entries[digest(key)]
    assert (entry.subject, entry.tenant, entry.scopes) == ('o"lga', "acme", ["andon:admin"])
    assert entry.expires_at is not None
    assert 89 * 86400 < entry.expires_at - time.time() < 91 * 86400
    other = andon("key", "--subject", "x", may_show_a_key=True)
    assert other.err.strip().rpartition(" ")[2] != key
    assert len(parse(done.out + other.out)) == 2


def test_the_command_refuses_a_name_that_the_gateway_would() -> None:
    """One line, and no key."""
    done = andon("key", "--subject", "")
    assert (done.code, done.out) == (1, "")
    assert "$.keys[0].subject" in done.err


@pytest.mark.parametrize(
    "text",
    [
        "keys = 1",
        "[[keys]]",
        '[[keys]]\nsha256 = "abc"\nsubject = "s"',
        f'[[keys]]\nsha256 = "{"a" * 64}"\nsubject = ""',
        f'[[keys]]\nsha256 = "{"a" * 64}"\nsubject = "s"\ntenant = ""',
        f'[[keys]]\nsha256 = "{"a" * 64}"\nsubject = "s"\nscope = ["andon:admin"]',
        f'[[keys]]\nsha256 = "{"a" * 64}"\nsubject = "s"\nscopes = "andon:admin"',
        f'[[keys]]\nsha256 = "{"a" * 64}"\nsubject = "s"\nexpires = "soon"',
        f'[[keys]]\nsha256 = "{"a" * 64}"\nsubject = "s"\n' * 2,
        f'[[keys]]\nsha256 = "{"a" * 64}"\nsubject = "a\\u0007b"',
    ],
)
def test_what_is_no_entry_is_no_file(text: str) -> None:
    """A misspelt member, above all: `expire` instead of `expires` would be a key for ever."""
    with pytest.raises(BadKeysFile):
        parse(text)


def test_a_time_without_a_zone_is_utc() -> None:
    """Whatever the gateway's own zone is."""
    bare, zoned = (
        parse(f'[[keys]]\nsha256 = "{"a" * 64}"\nsubject = "s"\nexpires = {when}')["a" * 64].expires_at
        for when in ("2030-01-01T00:00:00", "2030-01-01T01:00:00+01:00")
    )
    assert bare == zoned
