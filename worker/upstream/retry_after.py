"""Retry-After: how long a server wants to be left alone.

Owns the reading of `retry-after-ms` (OpenAI's) and `retry-after` (RFC 9110, section 10.2.3: seconds or an HTTP date).
Does not own whether to retry.
"""

import math
import time
from collections.abc import Mapping
from email.utils import mktime_tz, parsedate_tz

# As the SDK has it: a server that wants more than two minutes is not worth waiting for within one response.
MAX_RETRY_AFTER_S = 120.0


def parse_retry_after_s(headers: Mapping[str, str], now_s: float | None = None) -> float | None:
    """Return the wait asked for in seconds, or None where there is none or it makes no sense.

    `headers` has lower-case names, or is case-insensitive; `now_s` is Unix time. The result is not bounded: compare
    it with `MAX_RETRY_AFTER_S`.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is not None or value is None:
        return seconds
    date = parsedate_tz(value)
    if date is None:
        return None
    try:
        return max(0.0, mktime_tz(date) - (time.time() if now_s is None else now_s))
    except (OverflowError, ValueError):  # a date beyond the calendar
        return None


def _number(value: str | None) -> float | None:
    try:
        number = float(value) if value is not None else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
