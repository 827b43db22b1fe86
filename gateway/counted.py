"""Counted: a create, told to the telemetry by how it came out."""

import contextlib
from collections.abc import Iterator

from andon.errors import RequestError, RetryLaterError
from andon.telemetry import Telemetry


@contextlib.contextmanager
def counted(telemetry: Telemetry) -> Iterator[None]:
    """Count the create that happens within: accepted, or refused with the code that it raises."""
    try:
        yield
    except (RequestError, RetryLaterError) as error:
        telemetry.create_refused(error.code)
        raise
    telemetry.create_accepted()
