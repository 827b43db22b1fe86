"""`andon key`: make a static key, for a gateway with `ANDON_AUTH=keys`.

Owns the options. The key is shown once, on standard error; standard output is the entry for the file, which does not
hold it: `>>` puts one into the file and the other on the screen.
"""

import datetime as dt
import sys
from typing import Annotated

import typer

EXAMPLES = """Examples:

andon key --subject alice >> keys.toml   [dim]the key itself appears on the screen, once[/dim]

andon key --subject ops --tenant acme --scope andon:admin --days 90 >> keys.toml

A running gateway notices the change by itself. Take an entry out, and its key stops working, open sockets included."""


def key(
    *,
    subject: Annotated[str, typer.Option(help="Who calls with it.")],
    tenant: Annotated[str, typer.Option(help="The tenant of that caller.")] = "default",
    scope: Annotated[list[str] | None, typer.Option(help="What it may do beyond its own sessions; repeatable.")] = None,
    days: Annotated[int | None, typer.Option(help="Days until it expires. Not given: never.", min=1)] = None,
) -> None:
    """Make a key: print it once, and the entry to add to the file of ANDON_KEYS_FILE."""
    from andon.apikeys import KeyEntry, digest, new_key, parse, written  # noqa: PLC0415 - see the package

    made = new_key()
    expires = None if days is None else dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(days=days)
    entry = written(KeyEntry(digest(made), subject, tenant, scope or [], expires))
    parse(entry)  # a name that the gateway would refuse is refused here
    sys.stdout.write(entry)
    sys.stdout.flush()
    sys.stderr.write(f"The key of {subject}, shown this once: {made}\n")
