"""`andon demo`: what a stop is worth, measured, in under a minute.

Owns the options; the experiment is `andon.command.experiment`, its table `andon.command.findings`.
"""

from typing import Annotated

import typer

EXAMPLES = """Examples:

andon demo

OPENAI_API_KEY=sk-... andon demo --model gpt-5.4-mini   [dim]the same on the real API[/dim]

andon demo --url-a ws://a:21100/v1/responses --url-b ws://b:21100/v1/responses   [dim]two replicas that run[/dim]

Exit code: 0 if the stop did what it promises, else 1."""


def demo(
    *,
    url_a: Annotated[str | None, typer.Option(help="The gateway that the prompt goes to.")] = None,
    url_b: Annotated[str | None, typer.Option(help="The other one, that the stop goes to.")] = None,
    meter: Annotated[str | None, typer.Option(help="With --url-a: the sim's meter behind these gateways.")] = None,
    model: Annotated[str | None, typer.Option(help="The model; by default the sim's, or gpt-5.4-mini.")] = None,
    prompt: Annotated[str, typer.Option(help="What both runs ask.")] = "Write a page about the cord over the line.",
    stop_after: Annotated[float, typer.Option(help="Seconds from the start of a run to its stop.", min=0.1)] = 2.0,
    rate: Annotated[float, typer.Option(help="The sim's tokens a second.", min=1)] = 50.0,
    tokens: Annotated[int, typer.Option(help="The length of the whole answer, in tokens.", min=1)] = 431,
    token: Annotated[str | None, typer.Option(envvar="ANDON_TOKEN", help="Goes as Authorization: Bearer.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON instead of the table.")] = False,
) -> None:
    """Run one prompt to its end, then stop it after 2 s from the other replica; compare what was generated.

    Without --url-a it starts a stack of its own, as `andon dev` does, and ends it.
    """
    if (url_a is None) != (url_b is None) or (meter is not None and url_a is None):
        raise typer.BadParameter("--url-a and --url-b go together, and --meter with them")
    import asyncio  # noqa: PLC0415 - see the package

    from andon.command.experiment import Experiment, Replicas, run  # noqa: PLC0415
    from andon.command.failure import CommandFailed  # noqa: PLC0415
    from andon.command.findings import tell  # noqa: PLC0415
    from andon.command.interrupt import Interrupted  # noqa: PLC0415

    replicas = Replicas(url_a, url_b, meter) if url_a is not None and url_b is not None else None
    experiment = Experiment(
        model=model, prompt=prompt, stop_after_s=stop_after, rate=rate, tokens=tokens, token=token, quiet=as_json
    )
    try:
        findings = asyncio.run(run(experiment, replicas))
    except Interrupted:
        raise CommandFailed("the demo was interrupted") from None
    tell(findings, as_json=as_json)
    findings.check()
