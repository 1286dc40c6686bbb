"""What an attempt to get a certificate tells the agent, through a pipe."""

from typing import Self


class Issued:
    """A certificate that Envoy can use from now on."""

    __slots__ = ("expires_at", "issued_at", "issuer", "trust_anchors")

    def __init__(self, *, issued_at: float, expires_at: float, trust_anchors: str, issuer: str = "") -> None:
        self.issued_at = issued_at
        self.expires_at = expires_at
        self.trust_anchors = trust_anchors
        self.issuer = issuer
        """Who signed it, in one word; "" when identity did not say."""

    def encode(self) -> bytes:
        return f"issued {self.issued_at!r} {self.expires_at!r} {self.issuer}\n{self.trust_anchors}".encode()

    @classmethod
    def decode(cls, answer: bytes) -> Self | str:
        """What `encode` or `refused` said; an attempt that died said nothing."""
        head, _, rest = answer.decode().partition("\n")
        words = head.split(" ")
        if words[0] != "issued" or len(words) != 4:
            return rest or "the attempt to get a certificate ended without an answer"
        return cls(issued_at=float(words[1]), expires_at=float(words[2]), issuer=words[3], trust_anchors=rest)


def refused(why: str) -> bytes:
    """The answer of an attempt that got no certificate."""
    return f"refused\n{why}".encode()
