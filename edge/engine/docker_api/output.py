"""Container output as the engine streams it: frames of two streams, split into lines. Pure."""

from collections.abc import Iterable, Iterator

#: Docker Engine API, "Attach to a container": the stream's number, three zeros, the size, big-endian.
HEADER_BYTES = 8
LINE_BYTES = 64 * 1024  # a longer line loses its end


def lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Yield the lines of both streams in the order in which they ended, whatever the chunks' borders are."""
    waiting: dict[int, bytes] = {}
    for stream, content in _frames(chunks):
        *whole, rest = (waiting.get(stream, b"") + content).split(b"\n")
        waiting[stream] = rest[:LINE_BYTES]
        yield from (_text(line) for line in whole)
    yield from (_text(line) for line in waiting.values() if line)


def _text(line: bytes) -> str:
    return line[:LINE_BYTES].decode("utf-8", "replace").rstrip("\r")


def _frames(chunks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield each frame, or each part of one, as (stream, content)."""
    buffer, stream, left = b"", 0, 0
    for chunk in chunks:
        buffer += chunk
        while buffer:
            if left == 0:
                if len(buffer) < HEADER_BYTES:
                    break
                stream, left = buffer[0], int.from_bytes(buffer[4:HEADER_BYTES], "big")
                buffer = buffer[HEADER_BYTES:]
                continue
            content, buffer = buffer[:left], buffer[left:]
            left -= len(content)
            yield stream, content
