"""`andon sim`: an OpenAI-compatible model server for demos, tests and benchmarks (`andon.sim`).

Owns the options.
"""

from typing import Annotated

import typer

EXAMPLES = """Examples:

andon sim --port 21110 --rate 100

curl -s http://127.0.0.1:21110/meter   [dim]what each request would have been billed[/dim]

Faults are chosen by model name: sim-silent, sim-429, sim-500, sim-drop, ...; GET /v1/models lists them."""


def sim(
    *,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on; 0 lets the system choose.", min=0, max=65535)] = (
        21110
    ),
    rate: Annotated[float, typer.Option(help="Tokens a second a stream; 0: as fast as it goes.", min=0)] = 50.0,
    ttft: Annotated[float, typer.Option(help="Seconds from the request to the first token.", min=0)] = 0.2,
    tokens: Annotated[int, typer.Option(help="Length of an answer, unless the request limits it.", min=0)] = 431,
    seed: Annotated[int, typer.Option(help="Another seed, another text for the same prompt.")] = 0,
) -> None:
    """Run a model server without a model: Responses and Chat Completions, a meter, and faults by name."""
    from andon.early_end import end_on_sigterm  # noqa: PLC0415 - see the package

    end_on_sigterm()
    from andon.sim.options import SimOptions  # noqa: PLC0415
    from andon.sim.server import run  # noqa: PLC0415

    options = SimOptions(rate=rate, ttft_s=ttft, tokens=tokens, seed=seed)
    run(host, port, options, announce=lambda line: print(line, flush=True))
