"""What to type where this mesh has no such command."""

import pytest
from click.testing import CliRunner

from isthmus.cli.main import cli
from isthmus.cli.viz import viz


@pytest.mark.parametrize(
    ("words", "instead"),
    [
        ("deploy/web -n shop --to svc/db --to-namespace=dbs -t 5m", "stat-outbound deploy/web -n shop -t 5m"),
        ("deploy web -o wide -nshop -l app=web -A", "stat-inbound deploy web -n shop -A"),
        ("--context west -o json deploy/web", "stat-inbound --context west -o json deploy/web"),
        ("svc/db -o wide --namespace=shop", "stat svc/db -o wide --namespace shop"),
        ("-n shop service db", "stat -n shop service db"),
        ("deploy/web;reboot --to", "stat-inbound 'deploy/web;reboot'"),
        ("", "stat-inbound"),
    ],
)
def test_who_asks_for_routes_is_told_the_command_with_the_own_arguments(words: str, instead: str) -> None:
    said = CliRunner().invoke(viz, ["routes", *words.split()])
    assert said.exit_code == 1
    assert f"\nType: linkerd viz {instead}\n" in said.output


def test_the_cluster_that_was_named_before_the_command_is_named_again() -> None:
    said = CliRunner().invoke(cli, ["--context", "west", "viz", "routes", "deploy/web", "--to", "svc/db"])
    assert "Type: linkerd viz stat-outbound deploy/web --context west\n" in said.output
    assert "look for svc/db" in said.output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("upgrade --ha", "linkerd install | kubectl apply -f -"),
        ("uninject web.yaml", "linkerd.io/inject"),
        ("--context west profile -n shop --open-api web.json web", "ServiceProfiles are not served"),
        ("jaeger install", "tracing.collector"),
        ("instal", "'install'"),
    ],
)
def test_who_types_a_command_that_is_not_there_is_told_what_to_do_instead(words: str, told: str) -> None:
    said = CliRunner().invoke(cli, words.split())
    assert said.exit_code != 0
    assert told in said.output
