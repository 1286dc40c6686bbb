"""DNS messages: the only module that knows the library which reads and writes them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from dnslib import CNAME, QTYPE, RCODE, RR, SOA, SRV, A, DNSError, DNSHeader, DNSQuestion, DNSRecord

from isthmus.lab.node.zone import Answer, Record

TTL: Final = 5
"""Short, because a lab's services come and go while somebody watches."""
UDP_LIMIT: Final = 512
"""What every client takes in one datagram; EDNS says when it takes more."""

Resolve = Callable[[str, str], Answer]


@dataclass(frozen=True, slots=True)
class Authority:
    """Who answers, for the SOA record that lets clients remember a refusal."""

    domain: str


def answer(message: bytes, resolve: Resolve, authority: Authority, *, datagram: bool) -> bytes | None:
    """The reply to a query; None for something that is no query. Cut short (TC) when it does not fit a datagram."""
    try:
        query = DNSRecord.parse(message)
    except DNSError:
        return None
    if query.header.qr:
        return None
    reply = query.reply(ra=1, aa=1)
    if query.header.opcode or len(query.questions) != 1:
        reply.header.rcode = RCODE.NOTIMP
        return bytes(reply.pack())
    question = query.questions[0]
    name = str(question.qname)
    found = resolve(name, str(QTYPE.get(question.qtype)))
    _fill(reply, found, authority)
    packed = bytes(reply.pack())
    if datagram and len(packed) > _limit(query):
        reply.rr, reply.auth, reply.ar = [], [], []
        reply.header.tc = 1
        packed = bytes(reply.pack())
    return packed


def _fill(reply: Any, found: Answer, authority: Authority) -> None:
    for record in found.records:
        reply.add_answer(_record(record))
    for record in found.additional:
        reply.add_ar(_record(record))
    if not found.exists:
        reply.header.rcode = RCODE.NXDOMAIN
    if not found.records:
        reply.add_auth(_start_of_authority(authority.domain))


def _record(record: Record) -> Any:
    data = {
        "A": lambda: A(record.value),
        "CNAME": lambda: CNAME(record.value),
        "SRV": lambda: SRV(priority=0, weight=100, port=record.port, target=record.value),
    }[record.type]()
    return RR(record.name, QTYPE.reverse[record.type], rdata=data, ttl=TTL)


def _start_of_authority(domain: str) -> Any:
    times = (1, 7200, 1800, 86400, TTL)
    return RR(domain, QTYPE.SOA, rdata=SOA(f"ns.dns.{domain}", f"hostmaster.{domain}", times), ttl=TTL)


def _limit(query: Any) -> int:
    sizes = [int(record.rclass) for record in query.ar if record.rtype == QTYPE.OPT]
    return max(UDP_LIMIT, *sizes) if sizes else UDP_LIMIT


def question(name: str, kind: str, number: int = 1) -> bytes:
    """A query, for clients and tests."""
    header = DNSHeader(id=number, rd=1)
    return bytes(DNSRecord(header, q=DNSQuestion(name, QTYPE.reverse[kind])).pack())
