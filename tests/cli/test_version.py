"""What `linkerd version` prints of what it found."""

from isthmus.cli.version import lines

FOUND = {"client": "2.0", "server": "1.9", "proxies": {"1.8": 1, "1.9": 12}}


def test_versions_are_told_with_how_many_pods_have_them():
    assert [*lines(FOUND, short=False)] == [
        "Client version: 2.0",
        "Server version: 1.9",
        "Proxy versions:",
        "\t1.8 (1 pod)",
        "\t1.9 (12 pods)",
    ]


def test_short_is_numbers_alone():
    assert [*lines(FOUND, short=True)] == ["2.0", "1.9", "1.8", "1.9"]


def test_what_was_not_asked_for_is_not_told():
    assert [*lines({"client": "2.0"}, short=False)] == ["Client version: 2.0"]
    assert [*lines({"client": "2.0", "proxies": {}}, short=False)][-1] == "Proxy versions: there are no proxies"
