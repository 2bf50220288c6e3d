"""Compare the lists of request fields (fields.toml) with the types of the vendors' SDKs. Needs openai and anthropic.

Run by tests/test_fields.py. Prints a line for each difference, and exits 1 if there is any.
"""

import sys
import tomllib
import typing
from pathlib import Path
from typing import Any

import anthropic.types as a
import openai.types as o
from anthropic.types import message_create_params
from openai.types import chat, responses
from openai.types.chat import completion_create_params
from openai.types.responses import response_create_params

CHOICES = Path(__file__).parents[2] / "{{cookiecutter.project_slug}}/_choices/llm_provider"
LISTS = {
    name: tomllib.loads((CHOICES / name / "{{cookiecutter.__package}}/api/fields.toml").read_text(encoding="utf-8"))
    for name in ("demo-or-openai", "anthropic")
}

# table: the SDK's type, or its union of types by `type` or `role`. Types that are not on the list are refused.
OPENAI: dict[str, Any] = {
    "/chat/completions": completion_create_params.CompletionCreateParamsStreaming,
    "stream_options": chat.ChatCompletionStreamOptionsParam,
    "message": chat.ChatCompletionMessageParam,
    "part": chat.ChatCompletionContentPartParam | chat.ChatCompletionContentPartRefusalParam,
    "image_url": chat.chat_completion_content_part_image_param.ImageURL,
    "tool": chat.ChatCompletionToolUnionParam,
    "/responses": response_create_params.ResponseCreateParamsStreaming,
    "responses_stream_options": response_create_params.StreamOptions,
    "item": responses.ResponseInputItemParam,
    "content": responses.response_input_message_content_list_param.ResponseInputContentParam
    | responses.response_output_message_param.Content,
    "responses_tool": responses.ToolParam,
    "/embeddings": o.EmbeddingCreateParams,
}
ANTHROPIC: dict[str, Any] = {
    "/messages": message_create_params.MessageCreateParamsStreaming,
    "/messages/count_tokens": a.MessageCountTokensParams,
    "metadata": a.MetadataParam,
    "output_config": a.OutputConfigParam,
    "message": a.MessageParam,
    "block": a.ContentBlockParam,
    "image_source": a.image_block_param.Source,
    "document_source": a.document_block_param.Source,
    "tool": a.ToolUnionParam,
}


def types_in(kind: Any) -> list[Any]:
    """Return the typed dicts of a union."""
    if hasattr(kind, "__total__"):
        return [kind]
    return [found for each in typing.get_args(kind) for found in types_in(each)]


def names_of(kind: Any, by: str) -> set[str]:
    """Return the values that tell a typed dict from others, "" where it may do without."""
    hint = typing.get_type_hints(kind, include_extras=True).get(by)
    names = {name for name in flat(hint) if isinstance(name, str)}
    is_required = typing.get_origin(hint) is typing.Required or (by in kind.__required_keys__ and kind.__total__)
    return names if is_required else names | {""}


def flat(hint: Any) -> list[Any]:
    parts = typing.get_args(hint)
    return [found for part in parts for found in flat(part)] if parts else [hint]


def differences(lists: dict[str, Any], kinds: dict[str, Any]) -> list[str]:
    found = [f"{table}: no SDK type named for it" for table in lists.keys() - kinds.keys() - {"headers"}]
    for table, kind in kinds.items():
        rules = lists[table]
        by = next((name for name, rule in rules.items() if isinstance(rule, dict)), None)
        for variant, listed in rules[by].items() if by else [("", rules)]:
            fitting = [each for each in types_in(kind) if not by or variant in names_of(each, by)]
            known = set().union(*(typing.get_type_hints(each) for each in fitting)) - {by}
            place = f"{table} {variant}".strip()
            found += [f"{place}: {name} is new in the SDK" for name in sorted(known - listed.keys())]
    return found


if __name__ == "__main__":
    told = [f"OpenAI {each}" for each in differences(LISTS["demo-or-openai"], OPENAI)]
    told += [f"Anthropic {each}" for each in differences(LISTS["anthropic"], ANTHROPIC)]
    sys.stdout.write("".join(f"{each}\n" for each in told))
    sys.exit(bool(told))
