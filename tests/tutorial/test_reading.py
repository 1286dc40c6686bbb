"""How a tutorial's text is taken apart."""

from pathlib import Path

import pytest
from tests.tutorial import substitutions
from tests.tutorial.reading import GIVEN, blocks, commands, file_name, queries, tutorial

TEXT = """\
# Title

Nothing to do.

## First things

```bash
# On cluster-west
kubectl get pods -A \\
  -o wide
linkerd check
```

```yaml
# a-service.yaml
kind: Service
```

## Then

```promql
# How many
sum(
  rate(request_total[5m])
)

# How few
min(request_total)
```
"""


def test_every_block_has_its_language_and_its_section() -> None:
    found = [(block.section, block.language, block.line) for block in blocks(TEXT)]
    assert found == [("First things", "bash", 7), ("First things", "yaml", 14), ("Then", "promql", 21)]


def test_a_command_goes_on_after_a_backslash() -> None:
    found = [command.text for command in commands(blocks(TEXT)[0])]
    assert found == ["# On cluster-west", "kubectl get pods -A -o wide", "linkerd check"]


def test_a_blank_line_is_between_two_queries() -> None:
    assert queries(blocks(TEXT)[2]) == ["sum(\n  rate(request_total[5m])\n)", "min(request_total)"]


def test_a_file_is_called_as_its_first_comment_says() -> None:
    assert file_name(blocks(TEXT)[1]) == "a-service.yaml"


@pytest.mark.parametrize(
    ("text", "cluster"),
    [
        ("# On cluster-east", "cluster-east"),
        ("# On cluster-west, remove the link to cluster-east", "cluster-west"),
        ("# From cluster-west, check if you can reach cluster-east gateway", "cluster-west"),
        ("# Apply the link", ""),
        ("linkerd multicluster link --cluster-name cluster-east > link-east.yaml", ""),
    ],
)
def test_a_comment_says_which_cluster_is_meant_and_a_command_does_not(text: str, cluster: str) -> None:
    assert substitutions.context(text) == cluster


def test_the_tutorial_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GIVEN, "/somewhere/other.md")
    assert tutorial() == Path("/somewhere/other.md")
    monkeypatch.delenv(GIVEN)
    assert tutorial().name == "tutorial.md"
