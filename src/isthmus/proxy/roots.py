"""Bundles of roots as PEM text, without a parser of certificates: the agent only compares them and passes them on."""

from typing import Final

TRUST_ANCHORS_FILE: Final = "trust-anchors.pem"
"""In the identity directory: the roots that vouch for the control plane. It outlives the container, not the pod."""
_END: Final = "-----END CERTIFICATE-----"
_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_LINE: Final = 64


def certificates(pem: str) -> list[str]:
    """Each certificate of a PEM text in one form, without what stands between them."""
    found = []
    for block in pem.split(_END)[:-1]:
        _, begun, inside = block.partition(_BEGIN)
        if begun:
            text = "".join(inside.split())
            lines = [text[start : start + _LINE] for start in range(0, len(text), _LINE)]
            found.append("\n".join([_BEGIN, *lines, _END, ""]))
    return found


def together(*bundles: str) -> str:
    """Every certificate of some bundles, once."""
    return "".join(dict.fromkeys(block for bundle in bundles for block in certificates(bundle)))


def agree(one: str, other: str) -> bool:
    """Whether two bundles hold the same certificates."""
    return set(certificates(one)) == set(certificates(other))


def remembered(directory: str) -> str:
    """The roots that a former container of this pod had learned; "" if there was none."""
    try:
        with open(f"{directory}/{TRUST_ANCHORS_FILE}") as file:
            return together(file.read())
    except (OSError, ValueError):
        return ""
