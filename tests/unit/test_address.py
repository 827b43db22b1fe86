import pytest
from redis.asyncio import ConnectionPool

from andon.address import Topology, parse_address, without_password
from andon.database import Database
from andon.errors import StartError
from andon.settings import load_settings


def test_sentinels_and_their_master_are_read() -> None:
    """Several hosts, the default port, the master's name as the path, a database after it."""
    address = parse_address("redis+sentinel://app:s%40cret@a,b:26380,[::1]:26381/mymaster/2?ssl_check_hostname=false")
    assert address.topology is Topology.SENTINEL
    assert address.nodes == (("a", 26379), ("b", 26380), ("::1", 26381))
    assert (address.service, address.db, address.is_tls) == ("mymaster", 2, False)
    assert address.url_of(("10.0.0.1", 7000)) == "redis://app:s%40cret@10.0.0.1:7000/2?ssl_check_hostname=false"
    assert address.url_of_sentinel(("::1", 26381)) == "redis://[::1]:26381?ssl_check_hostname=false"


def test_sentinels_have_credentials_of_their_own() -> None:
    """A password of the data servers is never shown to a sentinel, nor the other way round."""
    address = parse_address(
        "rediss+sentinel://:data@a/?service=m&sentinel_username=watch&sentinel_password=p%2Fw%26&db=1"
    )
    assert address.url_of(("m", 1)) == "rediss://:data@m:1/1"
    assert address.url_of_sentinel(("a", 26379)) == "rediss://watch:p%2Fw%26@a:26379"
    options = ConnectionPool.from_url(address.url_of_sentinel(("a", 26379))).connection_kwargs
    assert (options["username"], options["password"]) == ("watch", "p/w&")


def test_nodes_of_a_cluster_are_read() -> None:
    """Some nodes are enough: they name the others."""
    address = parse_address("rediss+cluster://user:pw@a:7001,b?ssl_ca_certs=/ca.pem")
    assert address.topology is Topology.CLUSTER
    assert address.nodes == (("a", 7001), ("b", 6379))
    assert address.url_of(("c", 7003)) == "rediss://user:pw@c:7003/0?ssl_ca_certs=%2Fca.pem"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://a", "redis\\+sentinel://"),
        ("redis", "must start with"),
        ("redis+sentinel://a:26379", "must name the master"),
        ("redis+sentinel://a:port/m", "(?i)port"),
        ("redis+sentinel://a/m/two", "no number"),
        ("redis+cluster://a,,b", "host that is empty"),
        ("redis+cluster://a/1", "only 0"),
        ("redis+cluster://a:70000", "(?i)port"),
        ("redis+cluster://:se/cret@a", "%xx"),
    ],
)
def test_a_bad_address_says_what_is_wrong(url: str, why: str) -> None:
    """The remedy, and never a password."""
    with pytest.raises(ValueError, match=why):
        parse_address(url)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:secret@a/0",
        "redis+sentinel://user:secret@a:1,b:2/m?sentinel_password=secret&service=m",
        "rediss+cluster://user:secret@a:1,b:2",
        "unix://:secret@/path?password=secret",
        "nonsense://user:secret@a",
    ],
)
def test_no_password_is_shown(url: str) -> None:
    """Not in a message, not in the refusal of a bad URL."""
    assert "secret" not in without_password(url)
    if url.startswith("nonsense"):
        with pytest.raises(StartError) as refused:
            load_settings({"ANDON_REDIS_URL": url})
        assert "secret" not in str(refused.value)


def test_an_option_that_nobody_knows_stops_the_start() -> None:
    """Said at once and in one line, not at the first connection."""
    with pytest.raises(StartError, match=r"ANDON_REDIS_URL.*no_such_option"):
        Database("redis://a/0?no_such_option=1", timeout_s=1.0)
