"""Any resolver can ask the DNS server, by UDP and by TCP."""

import asyncio
import socket
import struct

from dnslib import EDNS0, QTYPE, RCODE, DNSRecord

from isthmus.lab.node import dns
from isthmus.lab.node.dnswire import Authority, answer, question
from isthmus.lab.node.zone import Answer, Record, Zone

NAME = "web.shop.svc.test"
AUTHORITY = Authority("test")


def resolve(name, kind):
    known = {
        (f"{NAME}.", "A"): Answer(True, (Record(NAME, "A", "10.96.1.1"),)),
        (f"{NAME}.", "AAAA"): Answer(True),
        ("many.test.", "A"): Answer(True, tuple(Record("many.test", "A", f"10.244.0.{n}") for n in range(1, 100))),
    }
    return known.get((name, kind), Answer(False))


def ask(message, *, datagram=True):
    return DNSRecord.parse(answer(message, resolve, AUTHORITY, datagram=datagram))


def test_an_answer_repeats_the_question_and_its_number():
    reply = ask(question(NAME, "A", number=77))
    assert (reply.header.id, reply.header.rcode, str(reply.rr[0].rdata)) == (77, RCODE.NOERROR, "10.96.1.1")
    assert str(reply.q.qname) == f"{NAME}."


def test_missing_names_and_missing_types_are_told_apart_and_may_be_remembered_shortly():
    missing_type, missing_name = ask(question(NAME, "AAAA")), ask(question("other.test", "A"))
    assert (missing_type.header.rcode, missing_name.header.rcode) == (RCODE.NOERROR, RCODE.NXDOMAIN)
    for reply in (missing_type, missing_name):
        assert [QTYPE[record.rtype] for record in reply.auth] == ["SOA"]
        assert reply.auth[0].ttl == 5


def test_what_does_not_fit_a_datagram_is_asked_again_by_tcp():
    assert ask(question("many.test", "A")).header.tc == 1
    assert len(ask(question("many.test", "A"), datagram=False).rr) == 99


def test_a_client_that_takes_larger_datagrams_gets_them():
    query = DNSRecord.parse(question("many.test", "A"))
    query.add_ar(EDNS0(udp_len=4096))
    assert len(ask(query.pack()).rr) == 99


def test_noise_and_replies_are_not_answered():
    assert answer(b"noise", resolve, AUTHORITY, datagram=True) is None
    reply = answer(question(NAME, "A"), resolve, AUTHORITY, datagram=True)
    assert answer(reply, resolve, AUTHORITY, datagram=True) is None


async def test_the_server_answers_by_udp_and_by_tcp():
    service = {"metadata": {"namespace": "shop", "name": "web"}, "spec": {"clusterIP": "10.96.1.1"}}
    zone = Zone("test", lambda *_: service, lambda *_: [], lambda _: True)
    port = free_port()
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(dns.serve(zone, address="127.0.0.1", port=port))
        reader, writer = await connect(port)
        message = question(NAME, "A", number=5)
        writer.write(struct.pack("!H", len(message)) + message)
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        by_tcp = await reader.readexactly(length)
        writer.close()
        by_udp = await asyncio.to_thread(ask_by_udp, message, port)
        serving.cancel()
    assert by_tcp == by_udp
    assert str(DNSRecord.parse(by_udp).rr[0].rdata) == "10.96.1.1"


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


async def connect(port):
    async with asyncio.timeout(10):
        while True:
            try:
                return await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)


def ask_by_udp(message, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        sock.sendto(message, ("127.0.0.1", port))
        return sock.recv(4096)
