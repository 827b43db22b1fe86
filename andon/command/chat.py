"""`andon chat`: one prompt, streamed to the terminal; Ctrl-C is the stop.

Owns the options; what happens is `andon.command.conversation`.
"""

from typing import Annotated

import typer

EXAMPLES = """Examples:

andon chat 'Tell me a story'

andon chat 'And then?' --session tale --previous resp_...   [dim]goes on from an earlier response, stopped or not[/dim]

andon chat 'Tell me a story' --url wss://andon.example.com/v1/responses --token "$TOKEN"

The text goes to standard output, all else to standard error. Ctrl-C stops the response and shows what it cost; a
second Ctrl-C quits at once. Exit code: 0 completed or stopped, 1 failed, 130 quit."""


def chat(
    prompt: Annotated[str, typer.Argument(help="What to say to the model.")],
    *,
    url: Annotated[str | None, typer.Option(envvar="ANDON_URL", help="The gateway's WebSocket endpoint.")] = None,
    session: Annotated[str | None, typer.Option(help="The session to attach to. Not given: a new one.")] = None,
    model: Annotated[str, typer.Option(help="The model; the sim takes any name.")] = "gpt-5.4-mini",
    max_output_tokens: Annotated[int | None, typer.Option(help="Where the answer is cut.", min=1)] = None,
    previous: Annotated[str | None, typer.Option(help="The id of the response that this one follows.")] = None,
    token: Annotated[str | None, typer.Option(envvar="ANDON_TOKEN", help="Goes as Authorization: Bearer.")] = None,
) -> None:
    """Stream a response to the terminal. Ctrl-C is the stop."""
    import asyncio  # noqa: PLC0415 - see the package

    from andon.client import DEFAULT_URL  # noqa: PLC0415
    from andon.command.conversation import Ask, converse  # noqa: PLC0415

    ask = Ask(prompt=prompt, model=model, max_output_tokens=max_output_tokens, previous_response_id=previous)
    raise typer.Exit(asyncio.run(converse(ask, url=url or DEFAULT_URL, session=session, token=token)))
