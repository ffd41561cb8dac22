"""Reads the part of PromQL that the rules and the dashboard use, and refuses everything else.

Prometheus' own tool is no Python package, so this stands in for it: an expression has to parse, its
operands have to be of the right kinds, its metrics have to exist, and its labels have to be theirs.
"""

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass

TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?)(?![\w.])|(?P<duration>(?:\d+(?:ms|[smhdwy]))+)(?!\w)"
    r"|(?P<text>\"(?:[^\"\\]|\\.)*\")|(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)"
    r"|(?P<sign>==|!=|>=|<=|=~|!~|[-+*/%^<>=(){}\[\],]))"
)
RANGE_FUNCTIONS = {"rate", "increase", "changes", "max_over_time"}
VECTOR_FUNCTIONS = {"abs", "absent"}
WITH_NUMBERS = {"clamp_min": ("vector", "scalar"), "histogram_quantile": ("scalar", "vector")}
AGGREGATIONS = {"sum", "max", "min", "avg", "count"}
PRECEDENCE = [
    {"or"},
    {"and", "unless"},
    {"==", "!=", "<=", "<", ">=", ">"},
    {"+", "-"},
    {"*", "/", "%"},
]
OF_EVERY_TARGET = {"instance", "job"}


class Wrong(Exception):
    """What no Prometheus would take, or what would never have a value."""


@dataclass(frozen=True, slots=True)
class Value:
    """What an expression gives; `labels` of a vector."""

    kind: str
    labels: frozenset[str] = frozenset()


def check(expression: str, metrics: Mapping[str, Set[str]]) -> Value:
    """What the expression gives. Raises Wrong."""
    parser = _Parser(_tokens(expression), metrics)
    value = parser.binary(0)
    if parser.rest:
        raise Wrong(f"{' '.join(word for _, word in parser.rest)} is left over")
    return value


def _tokens(expression: str) -> list[tuple[str, str]]:
    found, at = [], 0
    text = expression.rstrip()
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None:
            raise Wrong(f"cannot read {text[at:]!r}")
        kind = match.lastgroup
        assert kind is not None
        found.append((kind, match[kind]))
        at = match.end()
    return found


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]], metrics: Mapping[str, Set[str]]) -> None:
        self.rest = tokens
        self._metrics = metrics

    def binary(self, level: int) -> Value:
        if level == len(PRECEDENCE):
            return self._operand()
        left = self.binary(level + 1)
        while self._next() in PRECEDENCE[level]:
            operator = self._take()
            matching = self._labels_in_parentheses() if self._skip("on") else None
            left = _combined(operator, left, self.binary(level + 1), matching)
        return left

    def _operand(self) -> Value:
        kind, word = self.rest[0] if self.rest else ("", "the end")
        if kind == "number":
            self._take()
            return Value("scalar")
        if self._skip("("):
            value = self.binary(0)
            self._expect(")")
            return value
        if kind != "name":
            raise Wrong(f"{word} where a value should be")
        self._take()
        if word in AGGREGATIONS:
            return self._aggregation()
        return self._call(word) if self._next() == "(" else self._selector(word)

    def _aggregation(self) -> Value:
        by = self._labels_in_parentheses() if self._skip("by") else frozenset()
        self._expect("(")
        value = self._argument("vector")
        self._expect(")")
        if not by <= value.labels | OF_EVERY_TARGET:
            raise Wrong(f"nothing to aggregate has {sorted(by - value.labels)}")
        return Value("vector", by)

    def _call(self, name: str) -> Value:
        self._expect("(")
        if name == "time":
            self._expect(")")
            return Value("scalar")
        if name == "vector":
            self._argument("scalar")
            self._expect(")")
            return Value("vector")
        kinds = {
            **dict.fromkeys(RANGE_FUNCTIONS, ("range",)),
            **dict.fromkeys(VECTOR_FUNCTIONS, ("vector",)),
            **WITH_NUMBERS,
        }.get(name)
        if kinds is None:
            raise Wrong(f"there is no function {name}")
        arguments = []
        for number, kind in enumerate(kinds):
            if number:
                self._expect(",")
            arguments.append(self._argument(kind))
        self._expect(")")
        labels = next(a.labels for a in arguments if a.kind != "scalar")
        if name == "histogram_quantile":
            if "le" not in labels:
                raise Wrong("a quantile needs le")
            labels -= {"le"}
        return Value("vector", labels)

    def _argument(self, kind: str) -> Value:
        value = self.binary(0)
        if value.kind != kind:
            raise Wrong(f"a {value.kind} where a {kind} should be")
        return value

    def _selector(self, metric: str) -> Value:
        if metric not in self._metrics:
            raise Wrong(f"there is no metric {metric}")
        labels = self._metrics[metric]
        if self._skip("{"):
            while not self._skip("}"):
                label = self._take("name")
                if label not in labels:
                    raise Wrong(f"{metric} has no label {label}")
                if self._take() not in {"=", "!=", "=~", "!~"}:
                    raise Wrong(f"{label} is compared in no known way")
                re.compile(self._take("text")[1:-1])
                if self._next() != "}":
                    self._expect(",")
        kind = "vector"
        if self._skip("["):
            self._take("duration")
            self._expect("]")
            kind = "range"
        if self._skip("offset"):
            self._take("duration")
        return Value(kind, frozenset(labels))

    def _labels_in_parentheses(self) -> frozenset[str]:
        self._expect("(")
        labels = {self._take("name")}
        while self._skip(","):
            labels.add(self._take("name"))
        self._expect(")")
        return frozenset(labels)

    def _next(self) -> str | None:
        return self.rest[0][1] if self.rest else None

    def _skip(self, word: str) -> bool:
        if self._next() != word:
            return False
        self._take()
        return True

    def _expect(self, word: str) -> None:
        if not self._skip(word):
            raise Wrong(f"{word} is missing before {self._next() or 'the end'}")

    def _take(self, kind: str | None = None) -> str:
        if not self.rest:
            raise Wrong("it ends too early")
        found, word = self.rest.pop(0)
        if kind is not None and found != kind:
            raise Wrong(f"{word} where a {kind} should be")
        return word


def _combined(operator: str, left: Value, right: Value, matching: frozenset[str] | None) -> Value:
    kinds = {left.kind, right.kind}
    if "range" in kinds:
        raise Wrong(f"{operator} takes no range")
    if kinds == {"scalar"}:
        if operator in PRECEDENCE[0] | PRECEDENCE[1] | PRECEDENCE[2]:
            raise Wrong(f"{operator} between two numbers")
        return Value("scalar")
    if "scalar" in kinds:
        if matching is not None or operator in PRECEDENCE[0] | PRECEDENCE[1]:
            raise Wrong(f"{operator} needs a vector on both sides")
        return left if left.kind == "vector" else right
    if matching is None:
        if left.labels != right.labels and operator != "or":
            raise Wrong(f"nothing matches across {operator}: {left.labels ^ right.labels}")
    elif not matching <= (left.labels & right.labels) | OF_EVERY_TARGET:
        raise Wrong(f"not both sides of {operator} have {sorted(matching)}")
    return left
