"""Where a gateway answers, as Links write it."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.resources import gateways
from isthmus.resources.gateways import Host


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("203.0.113.7", Host("203.0.113.7", 4143)),
        (" 203.0.113.7:30443 ", Host("203.0.113.7", 30443)),
        ("gw.example", Host("gw.example", 4143)),
        ("a1b2-3.elb.eu-west-1.amazonaws.com.:443", Host("a1b2-3.elb.eu-west-1.amazonaws.com", 443)),
        ("2001:db8::1", Host("2001:db8::1", 4143)),
        ("[2001:0DB8::1]", Host("2001:db8::1", 4143)),
        ("[2001:db8::1]:30443", Host("2001:db8::1", 30443)),
    ],
)
def test_hosts_are_read_in_every_spelling(text: str, host: Host) -> None:
    assert gateways.host(text, 4143) == host


@pytest.mark.parametrize(
    "text",
    ["1.2.3", "1.2.3.4.5", "gw:0", "gw:65536", f"gw:{'9' * 5000}", "gw:many", "a:b:c", "fe80::1%eth0", "a b", "é"],
)
def test_what_is_no_host_is_named_and_the_others_count(text: str) -> None:
    found, problems = gateways.parse(f"203.0.113.7,{text},,gw.example", 4143)
    assert found == (Host("203.0.113.7", 4143), Host("gw.example", 4143))
    assert len(problems) == 1
    assert repr(text[:60]) in problems[0]


@settings(max_examples=30)
@given(st.sampled_from([IPv4Address, IPv6Address]), st.integers(0, (1 << 32) - 1), st.integers(1, 65535))
def test_an_address_is_written_so_that_it_is_read_again(
    kind: type[IPv4Address | IPv6Address], number: int, port: int
) -> None:
    host = Host(str(kind(number)), port)
    assert gateways.parse(str(host), 1) == ((host,), ())


@settings(max_examples=30)
@given(st.text(max_size=80))
def test_no_text_is_more_than_a_problem(text: str) -> None:
    gateways.parse(text, 4143)


@pytest.mark.parametrize(
    ("address", "elsewhere"),
    [
        ("203.0.113.7", True),
        ("10.0.0.1", True),
        ("fd00::1", True),
        ("127.0.0.1", False),
        ("::1", False),
        ("::ffff:127.0.0.1", False),
        ("169.254.169.254", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
    ],
)
def test_addresses_of_this_pod_and_of_everybody_lead_to_no_other_cluster(address: str, elsewhere: bool) -> None:
    assert gateways.leads_elsewhere(address) is elsewhere
