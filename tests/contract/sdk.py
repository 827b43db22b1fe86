"""What the official SDK accepts: its own pydantic models, applied to what goes out on the wire."""

from typing import Any

import msgspec
import pydantic
from openai.types.responses import Response, ResponseStreamEvent

_EVENT: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(ResponseStreamEvent)


def assert_sdk_reads(frame: bytes | dict[str, Any]) -> Any:
    """Fail unless the frame validates as the SDK's model of its very type; return the model."""
    event = msgspec.json.decode(frame) if isinstance(frame, bytes) else frame
    model = _EVENT.validate_python(event)
    assert model.type == event["type"]
    if "response" in event:
        Response.model_validate(event["response"])
        assert model.response.status == event["response"]["status"]
    return model
