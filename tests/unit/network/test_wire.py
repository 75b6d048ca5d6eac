"""Frames survive any cutting of the stream; what isn't admitted is refused at its header."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbonnode.errors import PeerViolation
from carbonnode.network.wire import HEADER_BYTES, FrameKind, FrameParser, encode_frame, frame_header

CAPS: dict[int, int] = {FrameKind.DATA: 1_000, FrameKind.PING: 8}
FRAMES = st.lists(st.one_of(st.tuples(st.just(int(FrameKind.DATA)), st.binary(max_size=100)), st.tuples(st.just(int(FrameKind.PING)), st.binary(max_size=8))))


@given(frames=FRAMES, cuts=st.lists(st.integers(1, 40)))
def test_any_cutting_gives_the_same_frames(frames: list[tuple[int, bytes]], cuts: list[int]) -> None:
    stream = b"".join(encode_frame(kind, payload) for kind, payload in frames)
    parser, parsed, at = FrameParser(CAPS), [], 0
    for cut in [*cuts, len(stream)]:
        parsed += parser.feed(stream[at : at + cut])
        at += cut
    parsed += parser.feed(stream[at:])
    assert parsed == frames


@given(frames=FRAMES)
def test_one_at_a_time_gives_the_same_frames(frames: list[tuple[int, bytes]]) -> None:
    parser = FrameParser(CAPS)
    parsed = parser.feed(b"".join(encode_frame(kind, payload) for kind, payload in frames), only_one=True)
    assert len(parsed) <= 1
    while more := parser.feed(b"", only_one=True):
        assert len(more) == 1
        parsed += more
    assert parsed == frames


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame_header(FrameKind.DATA, 1_001), "frame-too-large"),
        (frame_header(FrameKind.PING, 9), "frame-too-large"),
        (frame_header(FrameKind.HELLO, 1), "bad-frame"),
        (b"\xff" * HEADER_BYTES, "bad-frame"),
    ],
)
def test_refused_at_the_header(data: bytes, code: str) -> None:
    with pytest.raises(PeerViolation) as caught:
        FrameParser(CAPS).feed(encode_frame(FrameKind.DATA, b"before") + data)
    assert caught.value.code == code


def test_a_change_of_phase_admits_other_kinds() -> None:
    parser = FrameParser({FrameKind.WELCOME: 0})
    stream = encode_frame(FrameKind.WELCOME, b"") + encode_frame(FrameKind.DATA, b"first")
    assert parser.feed(stream, only_one=True) == [(FrameKind.WELCOME, b"")]
    parser.caps = CAPS
    assert parser.feed(b"") == [(FrameKind.DATA, b"first")]
