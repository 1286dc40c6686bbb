"""What a container may do, by its security context."""

import pytest

from isthmus.lab.node import privileges


def test_root_keeps_everything():
    argv = privileges.setpriv({})
    assert "--reuid=0" in argv
    assert not any("caps" in word or "bounding" in word for word in argv)


@pytest.mark.parametrize("context", [{"runAsUser": 2102}, {"runAsUser": 2102, "runAsGroup": 7}])
def test_another_user_loses_every_capability(context):
    argv = privileges.setpriv(context)
    assert "--reuid=2102" in argv
    assert f"--regid={context.get('runAsGroup', 2102)}" in argv
    assert "--bounding-set=-all" in argv


def test_an_added_capability_survives_the_change_of_user():
    argv = privileges.setpriv({"runAsNonRoot": True, "capabilities": {"add": ["NET_ADMIN", "CAP_NET_RAW"]}})
    assert "--reuid=65534" in argv
    assert "--ambient-caps=-all,+net_admin,+net_raw" in argv


def test_a_program_always_dies_with_its_parent():
    assert privileges.setpriv({"runAsUser": 5})[1:3] == ["--pdeathsig", "KILL"]


def test_the_container_overrides_the_pod():
    pod = {"securityContext": {"runAsUser": 1, "runAsGroup": 2}}
    assert privileges.security_of(pod, {"securityContext": {"runAsUser": 3}}) == {"runAsUser": 3, "runAsGroup": 2}
