"""Tools of the example agent. To add one, write a function with types and an example for each parameter."""

import operator
import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from ..llm.provider import Tool

OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
HANDBOOK = {
    "hold": "A hold reserves the most that a call can cost before the call is made.",
    "charge": "A charge is what the call really cost. What was held beyond it is free again.",
    "run": "A run is a ceiling for several calls together. A step that it can't pay is not made.",
    "ledger": "A ledger is one budget in Cycles: allocated, spent, reserved, remaining and debt.",
}


def look_up(topic: Annotated[str, Field(examples=["hold"])]) -> str:
    """Look up a topic in the handbook: hold, charge, run or ledger."""
    return HANDBOOK[topic.strip().lower()]


def calculate(expression: Annotated[str, Field(max_length=200, examples=["2 * 21"])]) -> str:
    """Calculate with two numbers: +, -, * or / stands between them."""
    left, sign, right = re.split(r"(?<=[\d.])\s*([-+*/])\s*", expression, maxsplit=1)
    return str(OPERATORS[sign](Decimal(left), Decimal(right)))


class LocalTool:
    """A function as a tool, and its price in USD. The model gets its docstring, and the JSON schema of its types."""

    def __init__(self, function: Any, usd: str) -> None:
        self._function: TypeAdapter[Any] = TypeAdapter(function)
        self.tool = Tool(function.__name__, str(function.__doc__), self._function.json_schema())
        self.usd = usd

    def answer(self, arguments: str) -> str:
        """Call the function. Return its answer or what is wrong, for the model to read."""
        try:
            return str(self._function.validate_json(arguments))
        except (LookupError, ValueError, ArithmeticError) as error:
            return f"{type(error).__name__}: {error}"


TOOLS = {local.tool.name: local for local in (LocalTool(look_up, "0.0001"), LocalTool(calculate, "0.00001"))}
