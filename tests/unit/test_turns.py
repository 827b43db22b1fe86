from typing import Any

import msgspec
import pytest

from andon.turns import as_items, parse_turn, with_context


def stored(given: Any, *output: dict[str, Any], chain: tuple[str, ...] = ()) -> bytes:
    """Write a turn as the scripts do."""
    return msgspec.json.encode({"chain": chain, "request": {"model": "m", "input": given}, "output": output})


def message(text: str, status: str = "completed") -> dict[str, Any]:
    """Make a message of the model."""
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": status, "content": [part]}


def call(status: str = "completed") -> dict[str, Any]:
    """Make a function call of the model."""
    return {"id": "fc_1", "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "status": status}


def test_a_text_is_a_message_of_the_user_and_items_stay_as_they_are() -> None:
    """Both forms of `input` become items; an input that was not given is none."""
    said = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi."}]}]
    assert as_items("Hi.") == said
    assert as_items(said) == said
    assert as_items(None) == []


def test_a_turn_is_its_input_then_its_output_without_ids() -> None:
    """An id or status of the upstream that made an item means nothing to the next one."""
    (asked, answered) = parse_turn(stored("Hi.", message("Hello."))).items()
    assert asked == as_items("Hi.")[0]
    assert answered == {"type": "message", "role": "assistant", "content": message("Hello.")["content"]}


def test_the_partial_answer_of_a_stopped_turn_is_kept() -> None:
    """The user has seen it."""
    assert parse_turn(stored("Hi.", message("Hel", "incomplete"))).items()[1]["content"][0]["text"] == "Hel"


def test_a_message_that_says_nothing_is_left_out() -> None:
    """A stop before the first token leaves an empty part; model servers refuse it."""
    assert parse_turn(stored("Hi.", message("", "incomplete"))).items() == as_items("Hi.")


@pytest.mark.parametrize("kind", ["function_call", "custom_tool_call", "mcp_call", "code_interpreter_call"])
def test_a_call_cut_short_is_left_out_and_a_whole_one_is_kept(kind: str) -> None:
    """Half a call has no output and never will."""
    assert parse_turn(stored("Hi.", {**call("incomplete"), "type": kind})).items() == as_items("Hi.")
    kept = parse_turn(stored("Hi.", {**call(), "type": kind})).items()[1]
    assert kept == {"type": kind, "call_id": "c", "name": "f", "arguments": "{}"}


def test_reasoning_is_kept_only_where_another_could_read_it() -> None:
    """That is: whole, and encrypted for the way."""
    plain = {"id": "rs_1", "type": "reasoning", "summary": []}
    encrypted = {**plain, "encrypted_content": "xyz"}
    assert parse_turn(stored("Hi.", plain)).items() == as_items("Hi.")
    assert parse_turn(stored("Hi.", {**encrypted, "status": "incomplete"})).items() == as_items("Hi.")
    kept = parse_turn(stored("Hi.", encrypted)).items()[1]
    assert kept == {"type": "reasoning", "summary": [], "encrypted_content": "xyz"}


def test_a_refusal_is_something_said() -> None:
    """It is a part of the conversation like a text."""
    refusal = {**message(""), "content": [{"type": "refusal", "refusal": "No."}]}
    assert parse_turn(stored("Hi.", refusal)).items()[1]["content"] == [{"type": "refusal", "refusal": "No."}]


def test_context_comes_before_the_requests_own_input_and_changes_nothing_else() -> None:
    """The turns in their order, then what is asked now; the instructions are the request's own."""
    turns = [parse_turn(stored("One.", message("Un."))), parse_turn(stored("Two.", message("Deux."), chain=("r1",)))]
    request = {"model": "m", "input": "Three.", "previous_response_id": "r2", "instructions": "Speak up."}
    made = with_context(request, turns)
    texts = [part["text"] for item in made.pop("input") for part in item["content"]]
    assert texts == ["One.", "Un.", "Two.", "Deux.", "Three."]
    assert made == {"model": "m", "instructions": "Speak up."}
    assert request["input"] == "Three."
    assert turns[1].chain == ("r1",)


def test_a_request_without_input_has_the_turns_alone() -> None:
    """OpenAI allows that: go on."""
    assert with_context({"model": "m"}, [parse_turn(stored("One."))])["input"] == as_items("One.")
