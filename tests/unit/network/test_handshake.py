"""The handshake as a conversation of two objects: who learns what, and every way to be refused."""

from dataclasses import dataclass

import msgspec
import pytest

from carbonnode.chain.signing import KeySigner
from carbonnode.errors import PeerViolation
from carbonnode.network.config import PROTOCOL_VERSION
from carbonnode.network.handshake import Handshake, Hello, OwnSide, Proof, RefusedByPeer, refusal_frame
from carbonnode.network.peer import Refusal, RefusalCode
from carbonnode.network.wire import Frame, FrameKind

CHAIN = b"c" * 32
A, B = KeySigner(b"a" * 32), KeySigner(b"b" * 32)


@dataclass
class Who:
    name: str
    organisation: str
    role: str
    transport_key: bytes


def _verify(credential: bytes, key: bytes) -> Who:
    if credential == b"revoked":
        raise PeerViolation("revoked yesterday", code="revoked")
    return Who(credential.decode(), "org", "super", key)


def _side(signer: KeySigner, credential: bytes, chain: bytes = CHAIN) -> OwnSide:
    return OwnSide(signer, credential, chain, credential.decode(), signer.public_key[:16])


def _dialler(own: OwnSide | None = None, expected: str = "b", peer_key: bytes = B.public_key) -> Handshake:
    return Handshake(own or _side(A, b"a"), peer_key, _verify, b"1" * 32, outbound=True, expected_name=expected)


def _listener(own: OwnSide | None = None, peer_key: bytes = A.public_key) -> Handshake:
    return Handshake(own or _side(B, b"b"), peer_key, _verify, b"2" * 32, outbound=False)


def _feed(side: Handshake, frames: list[Frame]) -> list[Frame]:
    return [answer for frame in frames for answer in side.receive(*frame)]


def test_both_sides_prove_themselves() -> None:
    dialler, listener = _dialler(), _listener()
    assert listener.begin() == []
    greeting = _feed(listener, dialler.begin())
    assert [kind for kind, _ in greeting] == [FrameKind.HELLO, FrameKind.PROOF]
    proof = _feed(dialler, greeting)
    assert _feed(listener, proof) == []
    assert listener.done
    dialler.receive(FrameKind.WELCOME, b"")
    assert dialler.done
    assert dialler.identity is not None
    assert listener.identity is not None
    assert (dialler.identity.name, listener.identity.name) == ("b", "a")
    assert (listener.credential, listener.instance) == (b"a", A.public_key[:16])


@pytest.mark.parametrize(
    ("own", "code"),
    [
        (_side(A, b"a", b"x" * 32), RefusalCode.WRONG_CHAIN),
        (_side(A, b""), RefusalCode.NOT_A_MEMBER),
        (_side(A, b"revoked"), "revoked"),
        (_side(A, b"a" * 40_000), RefusalCode.BAD_HANDSHAKE),
        (OwnSide(A, b"a", CHAIN, "a", b"short"), RefusalCode.BAD_HANDSHAKE),
    ],
)
def test_a_bad_dialler_learns_nothing_but_the_reason(own: OwnSide, code: str) -> None:
    listener = _listener()
    with pytest.raises(PeerViolation) as caught:
        _feed(listener, _dialler(own).begin())
    assert caught.value.code == code
    assert not listener.done


def test_another_version_is_refused() -> None:
    hello = Hello(PROTOCOL_VERSION + 1, CHAIN, "a", b"a", b"1" * 32, b"i" * 16)
    with pytest.raises(PeerViolation, match="install matching releases") as caught:
        _listener().receive(FrameKind.HELLO, msgspec.json.encode(hello))
    assert caught.value.code == RefusalCode.WRONG_VERSION


def test_the_dialler_refuses_another_name() -> None:
    dialler = _dialler(expected="c")
    with pytest.raises(PeerViolation) as caught:
        _feed(dialler, _feed(_listener(), dialler.begin()))
    assert caught.value.code == RefusalCode.WRONG_PEER


def test_a_proof_by_another_key_is_refused() -> None:
    thief = _dialler(OwnSide(KeySigner(b"t" * 32), b"a", CHAIN, "a", b"i" * 16))
    listener = _listener()
    greeting = _feed(listener, thief.begin())
    with pytest.raises(PeerViolation) as caught:
        _feed(listener, [(FrameKind.PROOF, msgspec.json.encode(Proof(thief._own.signer.sign(b"anything"))))])
    assert caught.value.code == RefusalCode.BAD_PROOF
    with pytest.raises(PeerViolation):  # nor does the listener's proof hold for a conversation it didn't have
        _feed(thief, greeting)


def test_a_proof_can_not_be_replayed_or_reflected() -> None:
    first, listener = _dialler(), _listener()
    greeting = _feed(listener, first.begin())
    proof = _feed(first, greeting)
    again = Handshake(_side(B, b"b"), A.public_key, _verify, b"3" * 32, outbound=False)
    _feed(again, first.begin())
    for replayed in (proof[0], greeting[1]):
        with pytest.raises(PeerViolation) as caught:
            again.receive(*replayed)
        assert caught.value.code == RefusalCode.BAD_PROOF


@pytest.mark.parametrize("kind", [FrameKind.PROOF, FrameKind.WELCOME, FrameKind.DATA, 200])
def test_frames_out_of_turn_are_refused(kind: int) -> None:
    with pytest.raises(PeerViolation) as caught:
        _listener().receive(kind, b"{}")
    assert caught.value.code == RefusalCode.BAD_HANDSHAKE


@pytest.mark.parametrize("payload", [b"", b"\xff\xfe", b"[]", b"{}", b'{"version": "1"}', b'{"chain_id": "*"}'])
def test_unreadable_greetings_are_refused(payload: bytes) -> None:
    with pytest.raises(PeerViolation) as caught:
        _listener().receive(FrameKind.HELLO, payload)
    assert caught.value.code == RefusalCode.BAD_HANDSHAKE


def test_a_refusal_arrives_by_name() -> None:
    with pytest.raises(RefusedByPeer) as caught:
        _dialler().receive(*refusal_frame("expired", "expired in May"))
    assert caught.value.refusal == Refusal("expired", "expired in May")
    with pytest.raises(RefusedByPeer) as caught:
        _dialler().receive(FrameKind.REFUSED, b"garbage")
    assert caught.value.refusal.code == RefusalCode.BAD_HANDSHAKE
