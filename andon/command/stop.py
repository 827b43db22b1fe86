"""`andon stop`: end a response, all of a session, or, for an operator, everything in a scope, from anywhere.

Owns the options; what happens is `andon.command.stopping` and, for a scope, `andon.command.broadcast`.
"""

from typing import Annotated

import typer

EXAMPLES = """Examples:

andon stop resp_0123abcd

andon stop --session tale --reason 'the user left'

andon stop resp_0123abcd --url ws://127.0.0.1:21101/v1/responses   [dim]any replica will do[/dim]

andon stop --model gpt-5.2 --dry-run   [dim]operators: count what is in a scope[/dim]

andon stop --tenant acme --subject eve --reason abuse   [dim]and stop it[/dim]

Stopping what has already ended is no error: it says so and exits with 0. An unknown response exits with 1."""

_OPERATORS = "For operators"


def stop(
    response_id: Annotated[str | None, typer.Argument(help="The response to stop.")] = None,
    *,
    session: Annotated[
        str | None,
        typer.Option(
            help="The session; without RESPONSE_ID, every live response of it is stopped. For an operator a session's "
            "tag, or its name with --tenant and --subject."
        ),
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Kept with the response, for whoever asks why.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Everything of a tenant.", rich_help_panel=_OPERATORS)] = None,
    subject: Annotated[str | None, typer.Option(help="Everything of a subject.", rich_help_panel=_OPERATORS)] = None,
    model: Annotated[str | None, typer.Option(help="Everything of a model.", rich_help_panel=_OPERATORS)] = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything.", rich_help_panel=_OPERATORS)] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count what would be stopped.", rich_help_panel=_OPERATORS)
    ] = False,
    url: Annotated[str | None, typer.Option(envvar="ANDON_URL", help="Any gateway's WebSocket endpoint.")] = None,
    token: Annotated[str | None, typer.Option(envvar="ANDON_TOKEN", help="Goes as Authorization: Bearer.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as the gateway gave it.")] = False,
) -> None:
    """Stop a response, all of a session, or everything in a scope, and show how far the stop has come."""
    import asyncio  # noqa: PLC0415 - see the package

    from andon.client import DEFAULT_URL  # noqa: PLC0415

    if tenant or subject or model or everything or dry_run:
        from andon.command import broadcast  # noqa: PLC0415

        words = {"response_id": response_id, "session": session, "tenant": tenant, "subject": subject, "model": model}
        scope = {name: word for name, word in words.items() if word is not None} | ({"all": True} if everything else {})
        told = broadcast.ask_to_stop_all(
            url or DEFAULT_URL, scope, reason=reason, token=token, is_dry=dry_run, as_json=as_json
        )
        broadcast.tell(told, as_json=as_json)
        return
    if response_id is None and session is None:
        raise typer.BadParameter("name a response, or a --session whose responses shall stop", param_hint="RESPONSE_ID")
    from andon.command.stopping import ask_to_stop, tell  # noqa: PLC0415

    answer = asyncio.run(
        ask_to_stop(url or DEFAULT_URL, response_id=response_id, session=session, reason=reason, token=token)
    )
    tell(answer, as_json=as_json)
