"""The Response object of the Responses API, with its items, parts and usage, as the sim fills it in.

Owns the JSON shapes. Does not own the events they travel in (`andon.sim.responses`).

Guarantees: every field the official SDK's types call required is there, except for `sim-bare`, which leaves out
what third-party servers leave out.
"""

import secrets
import time
from typing import Any

from andon.sim.ask import Ask, metadata
from andon.sim.faults import Voice
from andon.sim.plan import Part, Plan

FAILED = {"code": "server_error", "message": "The sim was asked to fail this response."}
_PREFIXES = {"reasoning": "rs", "message": "msg", "function_call": "fc"}
_LIST_OF = {"summary": "summary", "reasoning_text": "content", "text": "content", "refusal": "content"}


class ResponseObject:
    """The shapes of one response, which keep its ids and its time of creation."""

    def __init__(self, ask: Ask, plan: Plan) -> None:
        self._ask = ask
        self._plan = plan
        self.bare = ask.behaviour.voice is Voice.BARE
        unique = secrets.token_hex(16)
        self._id = f"resp_{unique}"
        self._created_at = int(time.time())
        # One for each item of the plan.
        self.item_ids = tuple(f"{_PREFIXES[item.kind]}_{unique}{index:02x}" for index, item in enumerate(plan.items))
        self._call_ids = tuple(f"call_{unique}{index:02x}" for index in range(len(plan.items)))

    def response(self, status: str) -> dict[str, Any]:
        """Give the Response in one of its states; output and usage are there once it has ended well."""
        ended = status in ("completed", "incomplete")
        core: dict[str, Any] = {
            "id": self._id,
            "object": "response",
            "created_at": self._created_at,
            "status": status,
            "model": self._ask.model,
            "output": [self.item(index) for index in range(len(self._plan.items))] if ended else [],
            "usage": self._usage() if ended else None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "error": FAILED if status == "failed" else None,
        }
        return core if self.bare else {**self._echo(), **core, "completed_at": time.time() if ended else None}

    def item(self, index: int) -> dict[str, Any]:
        """Give an item as it is when it is done: completed, or incomplete where the length limit cut it."""
        item = self._plan.items[index]
        return self._item(index, item.parts, "completed" if item.complete else "incomplete")

    def opened_item(self, index: int) -> dict[str, Any]:
        """Give an item as it is when it is added: empty and in progress."""
        return self._item(index, (), "in_progress")

    def part(self, part: Part, text: str) -> dict[str, Any]:
        """Give a part that holds this much of its text."""
        match part.kind:
            case "text" if self.bare:
                return {"type": "output_text", "text": text}
            case "text":
                return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
            case "refusal":
                return {"type": "refusal", "refusal": text}
            case "summary":
                return {"type": "summary_text", "text": text}
            case _:
                return {"type": "reasoning_text", "text": text}

    def _item(self, index: int, parts: tuple[Part, ...], status: str) -> dict[str, Any]:
        item = self._plan.items[index]
        core = {"id": self.item_ids[index], "type": item.kind, "status": status}
        if item.kind == "function_call":
            arguments = "".join(part.text for part in parts)
            return {**core, "call_id": self._call_ids[index], "name": item.name, "arguments": arguments}
        lists: dict[str, list[dict[str, Any]]] = {"content": []}
        if item.kind == "reasoning":
            lists["summary"] = []
        for part in parts:
            lists[_LIST_OF[part.kind]].append(self.part(part, part.text))
        return {**core, **lists, **({"role": "assistant"} if item.kind == "message" else {})}

    def _usage(self) -> dict[str, Any]:
        ask = self._ask
        sums = {
            "input_tokens": ask.input_tokens,
            "output_tokens": ask.n,
            "total_tokens": ask.input_tokens + ask.n,
        }
        if self.bare:
            return sums
        return {
            **sums,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": self._plan.reasoning_tokens},
        }

    def _echo(self) -> dict[str, Any]:
        """Repeat the request's fields with the API's own defaults, as the real API does."""
        defaults: dict[str, Any] = {
            "background": False,
            "instructions": None,
            "max_output_tokens": None,
            "max_tool_calls": None,
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "prompt_cache_key": None,
            "reasoning": {"effort": None, "summary": None},
            "safety_identifier": None,
            "store": True,
            "temperature": 1.0,
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": [],
            "top_logprobs": 0,
            "top_p": 1.0,
            "truncation": "disabled",
            "user": None,
        }
        given = {name: self._ask.body[name] for name in defaults if self._ask.body.get(name) is not None}
        return {**defaults, **given, "metadata": metadata(self._ask.body), "service_tier": "default"}


def is_content(part: Part) -> bool:
    """Say whether a part is announced by `response.content_part.*`; a summary has events of its own, a call none."""
    return part.kind in ("text", "refusal", "reasoning_text")


def final_status(plan: Plan) -> str:
    """Say how a whole answer ends."""
    return "incomplete" if plan.cut else "completed"
