"""Start a worker: `python -m worker`, or `andon worker`."""

import asyncio
import sys

import uvloop

from andon.errors import StartError
from andon.logs import configure_logs
from andon.settings import load_settings
from worker.service import serve


def main() -> None:
    """Run a worker until SIGTERM. Exits 0 after its drain, 1 with one line when it cannot start.

    Exits 75, drained, when a source of one's own has worn it out.
    """
    try:
        settings = load_settings()
        configure_logs(settings.log_level)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            code = runner.run(serve(settings))
    except StartError as error:
        sys.exit(f"andon worker: {error}")
    sys.exit(code)


if __name__ == "__main__":
    main()
