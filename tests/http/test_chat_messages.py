"""A chat's messages become the input items that say the same."""

from gateway.http.chat.messages import input_items


def test_calls_and_their_results_keep_their_order_and_ids() -> None:
    """What the model said, what it called, what came back."""
    call = {"id": "c1", "type": "function", "function": {"name": "time", "arguments": "{}"}}
    assert input_items(
        [
            {"role": "assistant", "content": "I look.", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "noon"},
        ]
    ) == [
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "I look.", "annotations": []}],
        },
        {"type": "function_call", "call_id": "c1", "name": "time", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "noon"},
    ]


def test_parts_are_mapped_each_to_its_own() -> None:
    """Text, picture and file of a user."""
    parts = [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,"}},
        {"type": "file", "file": {"file_id": "f1"}},
    ]
    (item,) = input_items([{"role": "user", "content": parts}])
    assert item["content"] == [
        {"type": "input_text", "text": "see"},
        {"type": "input_image", "image_url": "data:image/png;base64,", "detail": "auto"},
        {"type": "input_file", "file_id": "f1"},
    ]


def test_an_assistant_that_said_nothing_adds_no_message() -> None:
    """A call alone is a call alone; a refusal is one."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}
    assert [item["type"] for item in input_items([{"role": "assistant", "content": None, "tool_calls": [call]}])] == [
        "function_call"
    ]
    (item,) = input_items([{"role": "assistant", "content": "", "refusal": "no"}])
    assert item["content"] == [{"type": "refusal", "refusal": "no"}]
