"""One entrypoint for every control-plane process, which loads only the chosen one."""

import subprocess
import sys

import pytest

from isthmus import controller


@pytest.mark.parametrize("arguments", [[], ["destinations"]])
def test_an_unknown_process_is_answered_with_the_known_ones(arguments, capsys):
    assert controller.main(arguments) == 2
    assert "identity, destination, proxy-injector, multicluster-controller" in capsys.readouterr().err


def test_only_the_chosen_room_is_imported():
    script = (
        "import sys, isthmus.controller as c\n"
        "try: c.main(['identity', '--help'])\n"
        "except SystemExit: print(*[m for m in sys.modules if m.startswith('isthmus.')], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    rooms = {name.split(".")[1] for name in done.stderr.split()}
    assert "--issuance-lifetime" in done.stdout
    assert "identity" in rooms
    assert not rooms & {"destination", "injector", "multicluster", "envoy", "lab", "cli"}
