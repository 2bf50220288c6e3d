"""Tools of the example agent. Each takes one text and returns one, which the model reads: also what is wrong."""

import ast
import operator
import re
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from typing import NamedTuple

from ..llm.provider import Tool

MAX_EXPRESSION = 200
OPERATORS: dict[type[ast.operator], Callable[[Decimal, Decimal], Decimal]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
HANDBOOK = (
    "A hold reserves the most that a call can cost before the call is made.",
    "A charge is what the call really cost. What was held beyond it is free again.",
    "A run is a ceiling for several calls together. A step that it can't pay is not made.",
    "A ledger is one budget in Cycles: allocated, spent, reserved, remaining and debt.",
)


def calculate(expression: str) -> str:
    """Return the value of numbers with + - * / and parentheses."""
    with suppress(ValueError, SyntaxError, ArithmeticError, RecursionError, MemoryError):
        if len(expression) <= MAX_EXPRESSION:
            return str(_value(ast.parse(expression.strip(), mode="eval").body))
    return f"Not a calculation. Use up to {MAX_EXPRESSION} characters of numbers, + - * / and parentheses."


def look_up(topic: str) -> str:
    """Return the entry of the handbook that has most of the topic's words."""
    words = _words(topic)
    entry = max(HANDBOOK, key=lambda text: len(words & _words(text)))
    return entry if words & _words(entry) else "The handbook has no entry for this topic."


def _value(node: ast.expr) -> Decimal:
    match node:
        case ast.BinOp(left, kind, right) if type(kind) in OPERATORS:
            return OPERATORS[type(kind)](_value(left), _value(right))
        case ast.UnaryOp(ast.USub(), operand):
            return -_value(operand)
        case ast.Constant(int() | float() as number) if not isinstance(number, bool):
            return Decimal(str(number))
    raise ValueError


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


class LocalTool(NamedTuple):
    """A tool, its price in USD, and what it does."""

    tool: Tool
    usd: str
    work: Callable[[str], str]

    def call(self, arguments: dict[str, object]) -> str:
        """Return the tool's answer."""
        (parameter,) = self.tool.parameters["properties"]
        return self.work(str(arguments.get(parameter, "")))


def _local(work: Callable[[str], str], usd: str, description: str, parameter: str, example: str) -> LocalTool:
    properties = {parameter: {"type": "string", "examples": [example]}}
    schema = {"type": "object", "properties": properties, "required": [parameter]}
    return LocalTool(Tool(work.__name__, description, schema), usd, work)


_ALL = (
    _local(look_up, "0.0001", "Look up a topic in the handbook.", "topic", "hold"),
    _local(calculate, "0.00001", "Calculate with + - * / and parentheses.", "expression", "2 * (3 + 4)"),
)
TOOLS = {local.tool.name: local for local in _ALL}
