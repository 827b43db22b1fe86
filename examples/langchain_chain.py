"""A LangChain chain in the model server's place: a prompt and a chat model, streamed.

    pip install langchain-openai
    OPENAI_API_KEY=sk-... ANDON_UPSTREAM_API=examples.langchain_chain:answer andon worker

ChatOpenAI reads OPENAI_BASE_URL and OPENAI_API_KEY itself. A stop cancels `answer` where it waits for the next chunk,
and LangChain then closes its connection to the model. docs/sources.md has the contract.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, cast

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_openai import ChatOpenAI

_PROMPT = ChatPromptTemplate.from_messages(
    [("system", "You answer in plain words, and briefly."), MessagesPlaceholder("conversation")]
)
# Its `stream_chunk_timeout` stays on: without it LangChain leaves the closing of connections to the garbage collector.
_MODEL = ChatOpenAI(model="gpt-5-mini", stream_usage=True)
_MESSAGES = {"assistant": AIMessage, "developer": SystemMessage, "system": SystemMessage, "user": HumanMessage}


async def answer(request: dict[str, Any]) -> AsyncGenerator[str | dict[str, Any], None]:
    """Answer a request: yield the text as it comes, and the usage when it is told.

    `request` is the body of the `response.create`, with the conversation so far in its `input`.
    """
    chain = _PROMPT | _MODEL.bind(model=request["model"], metadata=request.get("metadata"))
    # `aclosing`, because a stop may also come while this waits at a `yield`: the chain is then closed here and now.
    chunks = cast("AsyncGenerator[AIMessage, None]", chain.astream({"conversation": _conversation(request["input"])}))
    async with aclosing(chunks):
        async for chunk in chunks:
            yield chunk.text
            if usage := chunk.usage_metadata:
                yield {"type": "response.in_progress", "response": {"usage": dict(usage)}}


def _conversation(items: list[dict[str, Any]]) -> list[AnyMessage]:
    """Make LangChain's messages of the Responses API's input items; those that are no messages are left out."""
    return [_MESSAGES[item["role"]](_text(item["content"])) for item in items if item.get("role") in _MESSAGES]


def _text(content: str | list[dict[str, Any]]) -> str:
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
