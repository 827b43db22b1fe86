"""`andon worker`: one worker process, this one.

Owns nothing but the name. The worker itself is the package `worker`, started by name: the contract imports neither
side.
"""

import importlib

from andon.early_end import end_on_sigterm

EXAMPLES = """Examples:

OPENAI_API_KEY=sk-... andon worker

OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=none ANDON_UPSTREAM_API=chat andon worker

All is set by ANDON_* and OPENAI_* environment variables."""


def worker() -> None:
    """Run one worker: it takes jobs from Redis and streams them from the model. Any number may run side by side."""
    end_on_sigterm()  # before the imports, which take most of the start
    importlib.import_module("worker.__main__").main()
