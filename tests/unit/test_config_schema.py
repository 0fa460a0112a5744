"""The JSON Schema of the configuration file, as editors use it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from exporter.config import json_schema
from exporter.config.fields import REFUSED_LABELS

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "config.yaml"


@pytest.fixture
def schema() -> Draft202012Validator:
    return Draft202012Validator(json_schema())


def objects(part: Any) -> Iterator[dict[str, Any]]:
    """Every schema in the schema that has properties of its own."""
    if isinstance(part, dict):
        if part.get("additionalProperties") is False:
            yield part
        for below in part.values():
            yield from objects(below)
    elif isinstance(part, list):
        for below in part:
            yield from objects(below)


def heartbeat(**options: object) -> dict[str, object]:
    return {"heartbeats": [{"name": "a", "interval": "1h"} | options]}


def test_it_is_a_schema_of_the_draft_that_it_names() -> None:
    assert json_schema()["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    Draft202012Validator.check_schema(json_schema())


def test_it_is_made_anew_each_time() -> None:
    json_schema().clear()
    assert json_schema() == json_schema() != {}


def test_it_accepts_the_example(schema: Draft202012Validator) -> None:
    schema.validate(yaml.safe_load(EXAMPLE.read_text()))


def test_every_key_is_described_for_completion() -> None:
    definitions: Any = json_schema()["$defs"]
    for model in objects(json_schema()):
        for key, field in model["properties"].items():
            target = definitions[field["$ref"].rpartition("/")[2]] if "$ref" in field else field
            assert field.get("description") or target.get("description"), key


def test_the_example_shows_every_key_that_has_an_effect() -> None:
    text = EXAMPLE.read_text()
    keys = {key for model in objects(json_schema()) for key in model["properties"]}
    without_effect = {"create", "created", "max", "expire_after"}
    assert {key for key in keys - without_effect if f"{key}:" not in text} == set()


def test_the_documentation_describes_every_key() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    keys = {key for model in objects(json_schema()) for key in model["properties"]}
    assert {key for key in keys if f"`{key}`" not in text} == set()


@pytest.mark.parametrize("name", REFUSED_LABELS)
def test_the_documentation_names_every_label_that_is_refused(name: str) -> None:
    assert f"`{name}`" in (ROOT / "docs" / "configuration.md").read_text().partition("## Labels")[2]


@pytest.mark.parametrize("text", ["0", "0s", "90s", "1h30m", "2w", "1y2w3d4h5m6s7ms"])
def test_a_duration_is_one(schema: Draft202012Validator, text: str) -> None:
    assert schema.is_valid({"outage_grace": text})


@pytest.mark.parametrize("text", ["", "s", "90", "1.5h", "1m1h", "-1s", "1h 30m", "auto", 1, 1.5, None, True])
def test_what_is_no_duration_is_none(schema: Draft202012Validator, text: object) -> None:
    assert not schema.is_valid({"outage_grace": text})


@pytest.mark.parametrize("text", ["auto", "0", "45m", 0])
def test_a_grace_may_be_automatic(schema: Draft202012Validator, text: object) -> None:
    assert schema.is_valid(heartbeat(grace=text))


@pytest.mark.parametrize("name", [*REFUSED_LABELS, "__x", "a-b", "0a", "", "x" * 129])
def test_labels_that_are_refused_are_refused(schema: Draft202012Validator, name: str) -> None:
    assert not schema.is_valid(heartbeat(labels={name: "x"}))


@pytest.mark.parametrize("name", ["job_name", "statuses", "_x", "x" * 128, "heartbeat_"])
def test_other_labels_are_not(schema: Draft202012Validator, name: str) -> None:
    assert schema.is_valid(heartbeat(labels={name: "x"}))


@pytest.mark.parametrize("methods", [["GET"], ["get", "Post", "HEAD"]])
def test_methods_may_be_in_any_case(schema: Draft202012Validator, methods: list[str]) -> None:
    assert schema.is_valid(heartbeat(methods=methods))


@pytest.mark.parametrize(
    ("defaults", "own", "valid"),
    [
        ({}, {}, False),
        ({}, {"cron": "@daily"}, True),
        ({}, {"cron": "@daily", "oncalendar": "daily"}, False),
        ({"cron": "@daily"}, {}, True),
        ({"cron": "@daily"}, {"interval": "1h"}, True),
        ({"cron": "@daily", "interval": "1h"}, {"interval": "1h"}, False),
        (None, {"interval": "1h"}, True),
        (None, {}, False),
    ],
)
def test_a_heartbeat_has_one_schedule_be_it_by_default(
    schema: Draft202012Validator, defaults: object, own: dict[str, str], valid: bool
) -> None:
    assert schema.is_valid({"defaults": defaults, "heartbeats": [{"name": "a"} | own]}) is valid
