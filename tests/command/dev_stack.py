"""A running `andon dev`, and what it said of itself."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.command.andon_command import Running, free_ports


@dataclass(frozen=True, slots=True)
class DevStack:
    """The command, and, as it printed them, the process ids by name and the addresses."""

    command: Running
    pids: Mapping[str, int]
    url_a: str
    url_b: str
    meter: str
    home: Path

    @classmethod
    def start(cls, *words: str, env: Mapping[str, str] | None = None) -> "DevStack":
        """Start one on free ports and return when it says that it is up."""
        command = Running.start("dev", "--port", str(free_ports()), *words, env=env)
        printed = command.until("Ctrl-C ends it all.")
        rows = re.findall(r"^(\S+) +(\d+) +(\S.*?) *$", printed, re.MULTILINE)
        where = {name: place for name, _, place in rows}
        return cls(
            command=command,
            pids={name: int(pid) for name, pid, _ in rows},
            url_a=where["gateway-a"],
            url_b=where["gateway-b"],
            meter=where["sim"],
            home=Path(where["valkey"].removeprefix("unix://")).parent,
        )
