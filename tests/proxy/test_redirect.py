"""The redirections of a pod: what goes through the proxy, and what does not."""

import shutil
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.proxy.redirect import PortsError, _merge, parse_ports, render

GOLDEN = """\
table ip isthmus
delete table ip isthmus
table ip isthmus {
    chain inbound {
        type nat hook prerouting priority dstnat; policy accept;
        tcp dport { 25, 4190-4191, 8000-8100 } return
        meta l4proto tcp redirect to :4143
    }
    chain outbound {
        type nat hook output priority -100; policy accept;
        meta skuid 2102 return
        oifname "lo" return
        meta l4proto tcp redirect to :4140
    }
}
"""


def script(inbound: str = "", outbound: str = "") -> str:
    return render(
        inbound_port=4143,
        outbound_port=4140,
        proxy_uid=2102,
        inbound_ignored=parse_ports(inbound),
        outbound_ignored=parse_ports(outbound),
    )


def test_the_whole_script():
    assert script("4191,4190,25,8000-8100,8050") == GOLDEN


@pytest.mark.parametrize("text", ["web", "0", "70000", "9-8", "80-", "-80", "1 2", "²"])
def test_ports_that_are_none_are_named(text):
    with pytest.raises(PortsError, match="port"):
        parse_ports(text)


RANGES = st.lists(st.tuples(st.integers(1, 200), st.integers(0, 20)).map(lambda pair: (pair[0], sum(pair))))


@given(ranges=RANGES)
def test_merged_ranges_hold_the_same_ports_and_never_touch(ranges):
    merged = _merge(ranges)
    assert {port for first, last in merged for port in range(first, last + 1)} == {
        port for first, last in ranges for port in range(first, last + 1)
    }
    assert all(before[1] + 1 < after[0] for before, after in zip(merged, merged[1:], strict=False))


@pytest.mark.skipif(not shutil.which("nft") or not shutil.which("unshare"), reason="needs nft and unshare")
def test_it_can_be_applied_again_and_again():
    """In a network namespace of its own: twice the same, then with other ports, and the last one counts."""
    run = f"{sys.executable} -I -m isthmus.proxy.init --inbound-ports-to-ignore"
    commands = f"set -e; {run} 25,26; {run} 25,26; {run} 8000-8100 --outbound-ports-to-ignore 5432; nft list ruleset"
    done = subprocess.run(["unshare", "-Urn", "sh", "-c", commands], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("chain inbound") == 1
    assert "tcp dport { 4190-4191, 8000-8100 } return" in done.stdout
    assert "tcp dport 5432 return" in done.stdout
