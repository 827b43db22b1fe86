"""Address: what `ANDON_REDIS_URL` says about where the shared state is.

Owns the forms of that URL and what each part means. Pure. Guarantees: what is handed on to a server's own URL keeps its
credentials as they were quoted; `without_password` shows none of them.

    redis://[user:password@]host[:6379][/db]                                  one server; rediss:// with TLS
    unix://[user:password@]/path/of/the.sock[?db=0]                           one server, on this machine
    redis+sentinel://[user:password@]host[:26379],host,.../master[/db]        the master that the sentinels name
    redis+cluster://[user:password@]host[:6379],host,...                      the cluster that these nodes are part of

`rediss+sentinel://` and `rediss+cluster://` use TLS for every connection. Further options (`ssl_ca_certs`,
`ssl_certfile`, ...) are redis-py's, and go to every server alike. Sentinel's own: `service` (instead of the path),
`sentinel_username`, `sentinel_password`.
"""

from enum import StrEnum
from typing import Final, TypeAlias
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import msgspec

# Host and port of one server.
Node: TypeAlias = tuple[str, int]

_CLUSTER_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379


class Topology(StrEnum):
    """How many servers share the state, and who says which."""

    STANDALONE = "standalone"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


_TOPOLOGY: Final = {
    "redis": Topology.STANDALONE,
    "rediss": Topology.STANDALONE,
    "unix": Topology.STANDALONE,
    "redis+sentinel": Topology.SENTINEL,
    "rediss+sentinel": Topology.SENTINEL,
    "redis+cluster": Topology.CLUSTER,
    "rediss+cluster": Topology.CLUSTER,
}


class Address(msgspec.Struct, frozen=True):
    """A parsed URL. `nodes`: the sentinels, or some nodes of the cluster; none for one server: its `url` is enough."""

    url: str
    topology: Topology
    nodes: tuple[Node, ...] = ()
    is_tls: bool = False
    # As they stood in the URL, quoted: "user:password@", or nothing.
    credentials: str = ""
    sentinel_credentials: str = ""
    # Sentinel's name of the master.
    service: str = ""
    db: int = 0
    # What is left of the query, for redis-py.
    options: str = ""

    def url_of(self, node: Node) -> str:
        """Return the URL of one data server."""
        return self._url(node, self.credentials, f"/{self.db}")

    def url_of_sentinel(self, node: Node) -> str:
        """Return the URL of one sentinel."""
        return self._url(node, self.sentinel_credentials, "")

    def _url(self, node: Node, credentials: str, path: str) -> str:
        host, port = node
        shown = f"[{host}]" if ":" in host else host
        scheme = "rediss" if self.is_tls else "redis"
        return f"{scheme}://{credentials}{shown}:{port}{path}{'?' if self.options else ''}{self.options}"


def parse_address(url: str) -> Address:
    """Parse the URL. Raises ValueError with the remedy."""
    scheme, _, _ = url.partition("://")
    topology = _TOPOLOGY.get(scheme)
    if topology is None or "://" not in url:
        raise ValueError(f"must start with {', '.join(f'{known}://' for known in _TOPOLOGY)}")
    if topology is Topology.STANDALONE:
        return Address(url, topology)
    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    path = [part for part in parts.path.split("/") if part]
    service = ""
    sentinel_credentials = ""
    if topology is Topology.SENTINEL:
        service = query.pop("service", "") or (path.pop(0) if path else "")
        if not service:
            raise ValueError("must name the master as the sentinels do: redis+sentinel://host:26379/mymaster")
        user, password = query.pop("sentinel_username", ""), query.pop("sentinel_password", "")
        if user or password:
            sentinel_credentials = f"{quote(user, safe='')}:{quote(password, safe='')}@"
    return Address(
        url=url,
        topology=topology,
        nodes=_nodes(hosts, _SENTINEL_PORT if topology is Topology.SENTINEL else _CLUSTER_PORT),
        is_tls=scheme.startswith("rediss"),
        credentials=f"{credentials}@" if credentials else "",
        sentinel_credentials=sentinel_credentials,
        service=service,
        db=_db(query.pop("db", "") or "/".join(path) or "0", topology),
        options=urlencode(query),
    )


def _nodes(hosts: str, default_port: int) -> tuple[Node, ...]:
    found = []
    for text in hosts.split(","):
        try:
            parts = urlsplit(f"//{text.strip()}")
            host, port = parts.hostname, parts.port
        except ValueError:
            # Not its own words: where a password has a character that it should not, they hold a part of it.
            raise ValueError(
                "has a host or port that cannot be read; special characters of a password are written as %xx"
            ) from None
        if not host:
            raise ValueError("names a host that is empty; write host:port,host:port")
        found.append((host, default_port if port is None else port))
    return tuple(found)


def _db(text: str, topology: Topology) -> int:
    if not text.isdecimal():
        raise ValueError("names a database that is no number")
    if topology is Topology.CLUSTER and int(text):
        raise ValueError("names a database; a cluster has only 0")
    return int(text)


def without_password(url: str) -> str:
    """Return the URL as it may be printed: without user and password, and without its query, which may hold both."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"***@{host}" if at and user else host, query="", fragment="").geturl()
