"""Unreachable: why a connection could not be made, in words that say what to do.

Owns the one translation of what sockets, TLS and Redis raise, for Redis and model servers alike. Guarantees: the words
hold no secret: never what was sent, only what kind of error came.
"""

import socket
import ssl
from collections.abc import Iterator
from typing import Final

from redis.exceptions import AuthenticationError

from andon.doctor.finding import Finding, fail

_AUTH: Final = ("WRONGPASS", "NOAUTH", "invalid username-password", "without any password", "Authentication required")


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Walk from an error to what it came from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def unreachable(error: BaseException, *, where: str, setting: str) -> Finding:
    """Say why `where` could not be reached; `setting` is what names it."""
    chain = list(causes(error))
    text = " ".join(str(each) for each in chain)
    if any(isinstance(each, AuthenticationError) for each in chain) or any(word in text for word in _AUTH):
        return fail(f"{where} refuses the user or the password", f"put the right ones into {setting}")
    for each in chain:
        if isinstance(each, ssl.SSLCertVerificationError):
            return fail(
                f"{where} shows a certificate that is not trusted ({each.verify_message})",
                f"name its CA (ssl_ca_certs in {setting}, SSL_CERT_FILE for HTTPS), or the host as it does",
            )
        if isinstance(each, ssl.SSLError):
            return fail(
                f"{where} does not speak TLS as we do", f"write {setting} with or without TLS, as the server is"
            )
        if isinstance(each, socket.gaierror):
            return fail(
                f"{where} is a name that is not known here", f"mend the host in {setting}, or the DNS of this pod"
            )
    return _of_the_network(text, where, setting)


def _of_the_network(text: str, where: str, setting: str) -> Finding:
    lower = text.lower()
    if "errno 111" in lower or "connection refused" in lower or "connect call failed" in lower:
        return fail(f"nobody listens at {where}", f"start it, or mend the address in {setting}")
    if "no such file" in lower:
        return fail(f"there is no socket at {where}", f"start the server, or mend the path in {setting}")
    if "name or service not known" in lower or "name resolution" in lower:
        return fail(f"{where} is a name that is not known here", f"mend the host in {setting}, or the DNS of this pod")
    if "no answer within" in lower or "timeout" in lower or "timed out" in lower:
        tls = "; a server without TLS is silent, too" if where.startswith("rediss") else ""
        return fail(f"{where} does not answer", f"look at firewalls and network policies, or mend {setting}{tls}")
    return fail(f"{where} hangs up on us", f"look at its log; it may want TLS ({setting}), or be full")
