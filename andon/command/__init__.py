"""The `andon` command: one file a subcommand.

Owns the parsing of the command line and how an error ends the process: one line on standard error and exit code 1
for what was foreseen (2 for a wrong command line), a traceback only for our own bugs. Does not own the gateway and
the worker, which it starts by name.

What a subcommand needs is imported when it runs, not here: `andon --help` would otherwise take ten times as long.
"""

import sys
from typing import Annotated

import typer

from andon import __version__
from andon.command.chat import EXAMPLES as CHAT_EXAMPLES
from andon.command.chat import chat
from andon.command.demo import EXAMPLES as DEMO_EXAMPLES
from andon.command.demo import demo
from andon.command.dev import EXAMPLES as DEV_EXAMPLES
from andon.command.dev import dev
from andon.command.doctor import EXAMPLES as DOCTOR_EXAMPLES
from andon.command.doctor import doctor
from andon.command.gateway import EXAMPLES as GATEWAY_EXAMPLES
from andon.command.gateway import gateway
from andon.command.health import EXAMPLES as HEALTH_EXAMPLES
from andon.command.health import health
from andon.command.key import EXAMPLES as KEY_EXAMPLES
from andon.command.key import key
from andon.command.sim import EXAMPLES as SIM_EXAMPLES
from andon.command.sim import sim
from andon.command.stop import EXAMPLES as STOP_EXAMPLES
from andon.command.stop import stop
from andon.command.top import EXAMPLES as TOP_EXAMPLES
from andon.command.top import top
from andon.command.worker import EXAMPLES as WORKER_EXAMPLES
from andon.command.worker import worker
from andon.errors import AndonError

app = typer.Typer(
    name="andon",
    help="A WebSocket gateway for model streams, with a stop that works from any replica.",
    epilog="Start with [bold]andon dev[/bold] in one terminal, [bold]andon chat 'Tell me a story'[/bold] in another.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("dev", epilog=DEV_EXAMPLES)(dev)
app.command("chat", epilog=CHAT_EXAMPLES)(chat)
app.command("stop", epilog=STOP_EXAMPLES)(stop)
app.command("top", epilog=TOP_EXAMPLES)(top)
app.command("demo", epilog=DEMO_EXAMPLES)(demo)
app.command("gateway", epilog=GATEWAY_EXAMPLES)(gateway)
app.command("worker", epilog=WORKER_EXAMPLES)(worker)
app.command("key", epilog=KEY_EXAMPLES)(key)
app.command("sim", epilog=SIM_EXAMPLES)(sim)
app.command("health", epilog=HEALTH_EXAMPLES)(health)
app.command("doctor", epilog=DOCTOR_EXAMPLES)(doctor)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"andon {__version__}")
        raise typer.Exit


@app.callback()
def _andon(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Take the options that come before a subcommand."""


def main() -> None:
    """Run the command line; the entry point of the `andon` script."""
    try:
        app(prog_name="andon")
    except AndonError as error:
        print(f"andon: {error}", file=sys.stderr)
        sys.exit(1)
