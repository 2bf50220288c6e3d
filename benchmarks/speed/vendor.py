"""An instant provider that speaks OpenAI's chat completions, for benchmarks. Run: `python vendor.py PORT`.

The last message says how: "stream 500" streams 500 chunks, one every two milliseconds; all else is answered at once.
"""

import asyncio
import json
import sys
from typing import Any

PAUSE_S = 0.002
ABOUT = {"id": "chatcmpl-1", "created": 1, "model": "gpt-5.4-mini", "system_fingerprint": "fp_1"}
USAGE = {"usage": {"prompt_tokens": 20, "completion_tokens": 8, "total_tokens": 28}}


def event(*choices: dict[str, Any], **more: Any) -> bytes:
    chunk = {**ABOUT, "object": "chat.completion.chunk", "choices": choices, **more}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


WORD = event({"index": 0, "delta": {"content": "word "}, "logprobs": None, "finish_reason": None})
END = event({"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}) + event(**USAGE) + b"data: [DONE]\n\n"
CHOICE = {"index": 0, "message": {"role": "assistant", "content": "word " * 8}, "finish_reason": "stop"}
WHOLE = json.dumps({**ABOUT, "object": "chat.completion", "choices": [CHOICE], **USAGE}).encode()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = next(line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            asked = json.loads(await reader.readexactly(int(length)))
            if not asked.get("stream"):
                writer.write(answered(b"application/json", b"content-length: %d\r\n" % len(WHOLE)) + WHOLE)
                continue
            writer.write(answered(b"text/event-stream", b"transfer-encoding: chunked\r\n"))
            _, _, chunks = str(asked["messages"][-1]["content"]).partition("stream ")
            if not chunks:
                writer.write(framed(WORD * 8))
            for _ in range(int(chunks or 0)):
                writer.write(framed(WORD))
                await asyncio.sleep(PAUSE_S)
            writer.write(framed(END) + framed(b""))
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


def answered(kind: bytes, header: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: " + kind + b"\r\n" + header + b"\r\n"


def framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def main(port: int) -> None:
    await (await asyncio.start_server(serve, "127.0.0.1", port)).serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
