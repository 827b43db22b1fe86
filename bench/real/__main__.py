"""`python -m bench.real`: what a stop is worth on a real model, by the model server's own count.

Shows the whole nest: the parts, the model server, Andon on top of it (Valkey, two gateways, two workers), the runs.
It ends what it started, and nothing else.
"""

import argparse
import asyncio
import os
import sys
import time
from pathlib import Path

from andon.command.interrupt import Interrupted, interruptible
from andon.command.stack import StackOptions, running_stack
from andon.errors import AndonError
from bench.real import findings
from bench.real.cache import ROOT, Parts, parts
from bench.real.model_server import running
from bench.real.part import RealError
from bench.real.runs import Plan, measure

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "real-model.md"
_PORTS_FROM = 21600
_PROMPT = "Write a long story about the workers of a factory and the cord that stops the line."


def main() -> None:
    """Measure, print the table, check it, and write it into the docs. Exits 1, with one line, if it can't or fails."""
    arguments = _parser().parse_args()
    try:
        made = parts()
        hurry = asyncio.Event()
        figures, runs = asyncio.run(interruptible(_measure(arguments, made, hurry), again=hurry.set))
        print(f"\n{figures}\n")
        findings.check(runs)
        if not arguments.dry:
            findings.write(_PAGE, figures)
            print(f"Written to {_PAGE}.")
    except (RealError, AndonError) as error:
        sys.exit(f"real: {error}")
    except Interrupted:
        sys.exit("real: interrupted; all ended")


async def _measure(arguments: argparse.Namespace, made: Parts, hurry: asyncio.Event) -> tuple[str, list[findings.Run]]:
    async with running(made, ROOT / "llama-server.log") as server:
        # The stack takes the model server from its environment, as `andon dev` does.
        os.environ |= {
            "ANDON_UPSTREAM_API": arguments.api,
            "OPENAI_BASE_URL": server.base_url,
            "OPENAI_API_KEY": "none-needed-by-llama-server",
        }
        print(f"{made.server_told}\n{made.model.name}; starting Valkey, two gateways and two workers ...", flush=True)
        async with running_stack(StackOptions(search_from=_PORTS_FROM), hurry=hurry) as stack:
            url_a, url_b = stack.sockets
            plan = Plan(
                prompt=arguments.prompt,
                max_output_tokens=arguments.tokens,
                stops_s=arguments.stops,
                url_a=url_a,
                url_b=url_b,
            )
            runs = await measure(plan, server)
    day = time.strftime("%Y-%m-%d", time.gmtime())
    speed = runs[0].computed / runs[0].elapsed_s
    told = (
        f"{day}; {made.model.name} on {made.server_told}, through its {arguments.api} API; "
        f"{os.cpu_count()} cores, {speed:.0f} tokens a second:"
    )
    return f"{told}\n\n{findings.table(runs)}", runs


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.real", description=__doc__)
    parser.add_argument("--tokens", type=int, default=400, help="where the whole answer is cut")
    parser.add_argument("--stops", type=float, nargs="+", default=[0.5, 1.0, 2.0], help="seconds, a stopped run each")
    parser.add_argument("--api", choices=["chat", "responses"], default="chat", help="what the workers speak")
    parser.add_argument("--prompt", default=_PROMPT)
    parser.add_argument("--dry", action="store_true", help="leave docs/real-model.md as it is")
    return parser


main()
