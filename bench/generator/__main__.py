"""`python -m bench.generator NAME PORT...`: a crowd of one contender's clients, told what to do on standard input.

Ends with its standard input.
"""

import asyncio
import gc
import sys
import time

import msgspec
import uvloop

from bench.contenders import contender_of
from bench.generator.commands import Answer, Attach, Close, Command, Open, Start, StopAll, TakeLook
from bench.generator.crowd import Crowd
from bench.generator.stream import StreamError
from bench.generator.websocket import WebSocketError

_LINE_BYTES = 1 << 20


async def _obey(crowd: Crowd, command: Command) -> Answer:
    match command:
        case Open(count=count):
            seconds = await crowd.open(count)
            return Answer(time.process_time(), seconds=seconds)
        case Start(rate=rate, tokens=tokens, hold_s=hold_s):
            await crowd.start(rate, tokens, hold_s)
        case Attach(response_id=response_id):
            await crowd.attach(response_id)
        case TakeLook(ages=ages):
            return Answer(time.process_time(), look=crowd.look(ages=ages))
        case StopAll():
            return Answer(time.process_time(), stops=await crowd.stop())
        case Close():
            crowd.close()
    return Answer(time.process_time())


async def main(name: str, ports: list[int]) -> None:
    """Do as told."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=_LINE_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    crowd = Crowd(contender_of(name), ports)
    decode = msgspec.json.Decoder(Command).decode
    while line := await reader.readline():
        try:
            answer = await _obey(crowd, decode(line))
        except (StreamError, WebSocketError, OSError, TimeoutError) as error:
            answer = Answer(time.process_time(), error=f"{type(error).__name__}: {error}")
        sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
        sys.stdout.buffer.flush()


# Nothing here makes cycles by the token; a collection in the middle of a measure would.
gc.freeze()
gc.disable()
uvloop.run(main(sys.argv[1], [int(port) for port in sys.argv[2:]]))
