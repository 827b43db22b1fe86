"""Prompt: one request to the sim, and what the sim will answer to it.

Owns the body of the create, a key by which the meter knows the request, and the expected answer, from the sim's own
plan: its text is the same on every machine.
"""

import uuid
from dataclasses import dataclass, field
from typing import Any

from andon.sim.ask import Api, ask
from andon.sim.plan import Plan, plan
from andon.sim.text import seed_of, text

from .simulator import OPTIONS


def _key() -> str:
    return f"key-{uuid.uuid4().hex}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What is asked. `rate` is in tokens a second, 0 for as fast as may be; `ttft_s` until the first token."""

    model: str = "sim"
    tokens: int = OPTIONS.tokens
    rate: float = OPTIONS.rate
    ttft_s: float = OPTIONS.ttft_s
    retry_after_s: float = 0.0
    after: int | None = None
    key: str = field(default_factory=_key)

    @property
    def body(self) -> dict[str, Any]:
        """The members of the create."""
        steering: dict[str, str] = {
            "sim_key": self.key,
            "sim_tokens": str(self.tokens),
            "sim_ttft": str(self.ttft_s),
            "sim_retry_after": str(self.retry_after_s),
        }
        if self.model != "sim-slow":
            steering["sim_rate"] = str(self.rate)
        if self.after is not None:
            steering["sim_after"] = str(self.after)
        return {"model": self.model, "input": f"Tell me about {self.key}.", "metadata": steering}

    def text(self, tokens: int | None = None) -> str:
        """Return the first tokens of the plain answer, or all of them."""
        return text(seed_of(str(self.body["input"])), self.tokens if tokens is None else tokens)

    def plan(self, api: Api = "responses") -> Plan:
        """Return what the sim says, item by item and part by part."""
        body = dict(self.body)
        if api == "chat":
            body["messages"] = [{"role": "user", "content": body.pop("input")}]
        return plan(ask(body, api, OPTIONS))
