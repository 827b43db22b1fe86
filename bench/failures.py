"""Failures: what may go wrong with a contender while it is measured, and leaves the others to be measured."""

from typing import Final

from bench.generator.stream import StreamError
from bench.generator.websocket import WebSocketError
from bench.model.door import ModelError
from bench.process import ProcessError

FAILURES: Final = (StreamError, WebSocketError, ModelError, ProcessError, TimeoutError, OSError)
