"""As much of Helm's template language as the charts use: lookups, `if`, a handful of functions, nothing else."""

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

TOKEN = re.compile(r'\(|\)|"(?:[^"\\]|\\.)*"|[^\s()]+')
BLOCK = re.compile(r"^\{\{- (if .*|end) \}\}$")


class Missing(Exception):
    """What `required` says."""


def rendered(text: str, values: Mapping[str, Any]) -> str:
    """The template with these values."""
    shown, lines = [True], []
    for line in text.splitlines():
        if block := BLOCK.match(line):
            if block[1] == "end":
                shown.pop()
            else:
                shown.append(shown[-1] and bool(evaluate(block[1].removeprefix("if "), values)))
        elif shown[-1]:
            lines.append(re.sub(r"\{\{ (.*?) \}\}", lambda found: _text(evaluate(found[1], values)), line))
    assert shown == [True], "every block is closed"
    return "\n".join(lines) + "\n"


def evaluate(text: str, values: Mapping[str, Any]) -> Any:
    tokens = TOKEN.findall(text)
    found = _pipeline(tokens, values)
    assert not tokens, f"not understood: {text}"
    return found


def _pipeline(tokens: list[str], values: Mapping[str, Any]) -> Any:
    found = _call(tokens, values)
    while tokens and tokens[0] == "|":
        tokens.pop(0)
        found = _call(tokens, values, found)
    return found


def _call(tokens: list[str], values: Mapping[str, Any], *piped: Any) -> Any:
    words = []
    while tokens and tokens[0] not in ("|", ")"):
        words.append(_word(tokens, values))
    first, *others = words
    return first(*others, *piped) if callable(first) else first


def _word(tokens: list[str], values: Mapping[str, Any]) -> Any:
    token = tokens.pop(0)
    if token == "(":
        inner = _pipeline(tokens, values)
        assert tokens.pop(0) == ")"
        return inner
    if token.startswith('"'):
        return json.loads(token)
    if token.isdigit():
        return int(token)
    if token.startswith(".Values."):
        found: Any = values
        for part in token.removeprefix(".Values.").split("."):
            found = found[part]
        return found
    return FUNCTIONS[token]


def _text(content: Any) -> str:
    return json.dumps(content) if isinstance(content, bool) else str(content)


def _printf(form: str, *found: Any) -> str:
    left = iter(found)
    return re.sub("%[v%]", lambda sign: "%" if sign[0] == "%%" else _text(next(left)), form)


def _required(sentence: str, content: Any) -> Any:
    if not content:
        raise Missing(sentence)
    return content


FUNCTIONS = {
    "toJson": lambda content: json.dumps(content, separators=(",", ":")),
    "b64enc": lambda text: base64.b64encode(text.encode()).decode(),
    "required": _required,
    "or": lambda *found: next((each for each in found if each), found[-1]),
    "not": lambda content: not content,
    "and": lambda *found: next((each for each in found if not each), found[-1]),
    "gt": lambda left, right: left > right,
    "int": int,
    "dict": lambda *pairs: dict(zip(pairs[::2], pairs[1::2], strict=True)),
    "merge": lambda own, others: {**others, **own},
    "printf": _printf,
}
