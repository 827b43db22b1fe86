"""A developer's stack in the foreground: started, told about, ended by Ctrl-C.

Owns what the user is told: what runs where, and what to try next. Does not own the stack (`andon.command.stack`).
"""

import asyncio
import sys

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from andon.client import DEFAULT_URL
from andon.command.interrupt import interruptible
from andon.command.stack import Stack, StackOptions, running_stack


async def develop(options: StackOptions, *, logs: bool) -> None:
    """Run the stack until a signal; raises Interrupted once all has ended, StartError when it can't go on."""
    hurry = asyncio.Event()

    def echo(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    async def work() -> None:
        async with running_stack(options, echo=echo if logs else None, hurry=hurry) as stack:
            _tell(stack)
            await stack.supervisor.watch()

    await interruptible(work(), again=hurry.set)


def _tell(stack: Stack) -> None:
    where = {
        "valkey": stack.redis_url,
        "sim": f"{stack.sim_url}/meter",
        "gateway-a": stack.sockets[0],
        "gateway-b": stack.sockets[1],
    }
    table = Table(box=None, pad_edge=False)
    for heading in ("process", "pid", "where"):
        table.add_column(heading, no_wrap=True, overflow="ignore")
    for name, pid in stack.supervisor.pids().items():
        table.add_row(name, str(pid), where.get(name, f"streams from {stack.upstream}"))
    console = Console(highlight=False, soft_wrap=True)  # long lines wrap: they are there to be copied
    console.print(table)
    console.print(f"\nLogs are in {stack.log_dir} until the end. [bold]Try next[/bold], in another terminal:\n")
    for line in _next_steps(stack):
        console.print(f"  {escape(line)}", style="cyan")
    console.print("\nCtrl-C ends it all.")


def _next_steps(stack: Stack) -> list[str]:
    first, second = stack.sockets
    at_first = "" if first == DEFAULT_URL else f" --url {first}"
    model = "sim" if stack.sim_url else "gpt-5.4-mini"
    return [
        f"{stack.gateways[0]}/   # a chat page, and /console for operators",
        f"andon chat 'Tell me a story'{at_first}   # Ctrl-C is the stop",
        f"andon stop RESPONSE_ID --url {second}   # from the other replica",
        f"andon top --url {first}   # what is live",
        "andon demo   # what a stop saves, on a stack of its own",
        "",
        "from openai import AsyncOpenAI  # the official SDK, unchanged",
        f'client = AsyncOpenAI(base_url="{stack.gateways[0]}/v1", api_key="none")',
        "async with client.responses.connect() as connection:",
        f'    await connection.response.create(model="{model}", input="Tell me a story")',
        "    async for event in connection:",
        "        print(event.type)",
    ]
