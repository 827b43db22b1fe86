"""`andon stop`: end a response, or all of a session, from anywhere.

Owns the options; what happens is `andon.command.stopping`.
"""

from typing import Annotated

import typer

EXAMPLES = """Examples:

andon stop resp_0123abcd

andon stop --session tale --reason 'the user left'

andon stop resp_0123abcd --url ws://127.0.0.1:21101/v1/responses   [dim]any replica will do[/dim]

Stopping what has already ended is no error: it says so and exits with 0. An unknown response exits with 1."""


def stop(
    response_id: Annotated[str | None, typer.Argument(help="The response to stop.")] = None,
    *,
    session: Annotated[
        str | None, typer.Option(help="The session; without RESPONSE_ID, every live response of it is stopped.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Kept with the response, for whoever asks why.")] = None,
    url: Annotated[str | None, typer.Option(envvar="ANDON_URL", help="Any gateway's WebSocket endpoint.")] = None,
    token: Annotated[str | None, typer.Option(envvar="ANDON_TOKEN", help="Goes as Authorization: Bearer.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as the gateway gave it.")] = False,
) -> None:
    """Stop a response, or every live response of a session, and show how far the stop has come."""
    if response_id is None and session is None:
        raise typer.BadParameter("name a response, or a --session whose responses shall stop", param_hint="RESPONSE_ID")
    import asyncio  # noqa: PLC0415 - see the package

    from andon.client import DEFAULT_URL  # noqa: PLC0415
    from andon.command.stopping import ask_to_stop, tell  # noqa: PLC0415

    answer = asyncio.run(
        ask_to_stop(url or DEFAULT_URL, response_id=response_id, session=session, reason=reason, token=token)
    )
    tell(answer, as_json=as_json)
