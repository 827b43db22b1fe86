import pytest

from andon.slots import SLOTS, Redirect, SlotMap, parse_epoch, parse_redirect, parse_slots, slot_of, slot_of_command

_ASKED = ("10.0.0.1", 7000)


@pytest.mark.parametrize(
    "command",
    [
        ("GET", "key"),
        ("set", b"key", 1, "PX", 5),
        ("EVALSHA", "0" * 40, 2, "key", "{key}other", "argument"),
        ("EVAL", "return 1", 1, "key"),
        ("XGROUP", "CREATE", "key", "group", "0", "MKSTREAM"),
        ("XREADGROUP", "GROUP", "group", "me", "COUNT", 1, "BLOCK", 1, "STREAMS", "key", ">"),
        ("XPENDING", "key", "group", "-", "+", 10, "me"),
        ("XAUTOCLAIM", "key", "group", "me", 1, "0"),
        ("ZADD", "key", 0, "member"),
        ("MGET", "key", "{key}2"),
    ],
    ids=lambda command: str(command[0]),
)
def test_a_command_has_the_slot_of_its_first_key(command: tuple[str | bytes | int, ...]) -> None:
    """Wherever the key stands."""
    assert slot_of_command(command) == slot_of("key")


@pytest.mark.parametrize("name", ["PING", "INFO", "CLUSTER", "SCRIPT", "CONFIG"])
def test_a_command_without_a_key_has_no_slot(name: str) -> None:
    """Any node may answer it."""
    assert slot_of_command((name, "argument")) is None


def test_a_hash_tag_alone_makes_the_slot() -> None:
    """As the server computes it."""
    assert slot_of("andon:{tag}:job:1") == slot_of(b"tag")
    assert slot_of("123456789") == 0x31C3


@pytest.mark.parametrize(
    ("told", "redirect"),
    [
        ("MOVED 3999 127.0.0.1:6381", Redirect(3999, ("127.0.0.1", 6381), is_ask=False)),
        ("ASK 3999 some.host:6381", Redirect(3999, ("some.host", 6381), is_ask=True)),
        ("MOVED 1 :6381", Redirect(1, ("10.0.0.1", 6381), is_ask=False)),
        ("MOVED 1 ::1:6381", Redirect(1, ("::1", 6381), is_ask=False)),
        ("TRYAGAIN Multiple keys request during rehashing of slot", None),
        ("ERR unknown command", None),
    ],
)
def test_a_redirect_is_read(told: str, redirect: Redirect | None) -> None:
    """A node without a host is on the host of whoever names it."""
    assert parse_redirect(told, _ASKED) == redirect


def test_the_map_is_read_and_corrected() -> None:
    """Ranges, their masters, and slots that nobody owns."""
    rows = [
        [0, 99, [b"10.0.0.2", 7001, b"id", []], [b"10.0.0.9", 7009, b"id"]],
        [100, SLOTS - 2, [b"", 7002, b"id"]],
        [SLOTS - 1, SLOTS - 1, [b"?", 7003, b"id"]],
    ]
    found = parse_slots(rows, _ASKED)
    assert found.owner(0) == found.owner(99) == ("10.0.0.2", 7001)
    assert found.owner(100) == ("10.0.0.1", 7002)
    assert found.owner(SLOTS - 1) is None
    assert found.nodes() == {("10.0.0.2", 7001), ("10.0.0.1", 7002)}
    assert found == parse_slots(rows, _ASKED) != SlotMap()
    found.move(SLOTS - 1, ("new", 1))
    assert ("new", 1) in found.nodes()
    assert found != parse_slots(rows, _ASKED)


def test_the_epoch_is_read() -> None:
    """The current one, not the node's own."""
    assert parse_epoch(b"cluster_state:ok\r\ncluster_current_epoch:6\r\ncluster_my_epoch:2\r\n") == 6
