"""Logs: structured lines on standard error, one JSON object each.

Owns the form of a log line, and the fields by which every line about a response names it. No secret is ever bound to
one; `tests` grep for them.
"""

import logging
import sys

import structlog

from andon.ids import ResponseId
from andon.replies import Whose
from andon.tracing import trace_fields


def configure_logs(level: str) -> None:
    """Set up structlog for this process; foreign libraries log warnings and worse through the same form."""
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)


def about(response_id: ResponseId, whose: Whose) -> dict[str, str]:
    """Return the fields of a line about a response: `response`, `session`, `tenant`, `subject`, `trace`, `span`.

    The span is the one that created it; a line within another one says that instead. Without a trace there is neither.
    """
    return {
        "response": response_id,
        "session": whose.session,
        "tenant": whose.tenant,
        "subject": whose.subject,
        **trace_fields(whose.trace),
    }
