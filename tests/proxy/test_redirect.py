"""The redirections of a pod: what goes through the proxy, and what does not."""

import itertools
import shutil
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.proxy.init import main
from isthmus.proxy.redirect import render
from isthmus.resources.ports import parse, ranges

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
        inbound_ignored=parse(inbound),
        outbound_ignored=parse(outbound),
    )


def test_the_whole_script():
    assert script("4191,4190,25,8000-8100,8050") == GOLDEN


def test_a_flag_that_is_no_port_is_named(capsys):
    with pytest.raises(SystemExit):
        main(["--inbound-ports-to-ignore", "25,web"])
    assert "'web' is neither a port nor a range of ports" in capsys.readouterr().err


@given(ports=st.sets(st.integers(1, 60)))
def test_ranges_hold_the_same_ports_and_never_touch(ports):
    found = ranges(ports)
    assert {port for first, last in found for port in range(first, last + 1)} == ports
    assert all(before[1] + 1 < after[0] for before, after in itertools.pairwise(found))


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
