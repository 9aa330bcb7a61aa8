"""Lines of a container's output, wherever the engine cuts its stream."""

from hypothesis import given
from hypothesis import strategies as st

from edge.engine.docker_api.output import LINE_BYTES, lines
from edge.engine.redaction import redact


def a_frame(content: bytes, stream: int = 1) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(content).to_bytes(4, "big") + content


@given(st.lists(st.text(alphabet="ab ü", min_size=1, max_size=12), max_size=8), st.data())
def test_the_lines_are_the_same_however_frames_and_chunks_are_cut(
    said: list[str], data: st.DataObject
) -> None:
    text = "".join(f"{line}\n" for line in said).encode()
    stream = b""
    while text:
        size = data.draw(st.integers(1, len(text)))
        stream, text = stream + a_frame(text[:size]), text[size:]
    size = data.draw(st.integers(1, 9))

    assert list(lines(stream[i : i + size] for i in range(0, len(stream), size))) == said


def test_the_two_streams_do_not_mix_within_a_line_and_a_last_line_needs_no_end() -> None:
    stream = a_frame(b"ou") + a_frame(b"err\n", 2) + a_frame(b"t\r\nend")

    assert list(lines([stream])) == ["err", "out", "end"]


def test_a_line_without_end_is_cut_and_so_is_a_stream_that_breaks_off() -> None:
    frames = (a_frame(b"x" * 30_000) for _ in range(100))

    [line] = lines(frames)
    assert len(line) == LINE_BYTES
    assert list(lines([a_frame(b"whole\nhalf")[:-2]])) == ["whole", "ha"]


def test_a_secret_of_several_lines_is_hidden_line_by_line() -> None:
    key = "-----BEGIN KEY-----\n  MIIEvQ\n-----END KEY-----\n"

    assert list(redact(["1", "MIIEvQ", "x MIIEvQ y"], [key], 100)) == ["1", "[redacted]", "x [redacted] y"]
