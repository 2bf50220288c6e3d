"""Tools of the example agent: the model reads their answers, also what is wrong with its call."""

import json

import pytest

from {{ cookiecutter.__package }}.chat.tools import TOOLS


@pytest.mark.parametrize(
    ("expression", "value"), [("2 * 7", "14"), ("2*-7", "-14"), ("-3 / 4", "-0.75"), (" 0.1 + 0.2 ", "0.3")]
)
def test_the_calculator_counts_in_decimals(expression: str, value: str) -> None:
    assert TOOLS["calculate"].answer(json.dumps({"expression": expression})) == value


@pytest.mark.parametrize(
    ("expression", "wrong"),
    [
        *((text, "InvalidOperation") for text in ("2 + True", "2 ** 9", "2 +", "0 / 0")),
        *((text, "Error: ") for text in ("x * 9", "print(1)", "", "\0", "1" * 201)),
        ("1 / 0", "DivisionByZero"),
    ],
)
def test_the_calculator_says_what_is_wrong(expression: str, wrong: str) -> None:
    assert wrong in TOOLS["calculate"].answer(json.dumps({"expression": expression}))


@pytest.mark.parametrize(
    "arguments", ["", "{}", "[]", "null", '{"topic": 1}', '{"topic": "hold", "y": 1}', '{"topic": "x"}', "[" * 9_999]
)
def test_arguments_that_do_not_fit_are_answered(arguments: str) -> None:
    assert "Error: " in TOOLS["look_up"].answer(arguments)


def test_tools_are_described_with_an_example_for_each_parameter() -> None:
    assert TOOLS["look_up"].answer('{"topic": " Hold "}').startswith("A hold reserves")
    for name, local in TOOLS.items():
        assert (local.tool.name, bool(local.tool.description)) == (name, True)
        parameters = local.tool.parameters
        assert parameters["required"] == [*parameters["properties"]]
        assert all(each["type"] == "string" and each["examples"] for each in parameters["properties"].values())
