"""The JSON Schema of the configuration file, made from its model, for editors."""

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from exporter.config.model import SCHEDULE_KEYS, MainFile

_EACH_SCHEDULE: list[JsonSchemaValue] = [{"type": "object", "required": [kind]} for kind in SCHEDULE_KEYS]
_ANY_SCHEDULE: JsonSchemaValue = {"anyOf": _EACH_SCHEDULE}
_AT_MOST_ONE_SCHEDULE: JsonSchemaValue = {"oneOf": [*_EACH_SCHEDULE, {"not": _ANY_SCHEDULE}]}


class _Generator(GenerateJsonSchema):
    """Of what pydantic makes, the part that serves editors."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])  # None means that a key is absent; it cannot be written

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        made = super().default_schema(schema)
        if not isinstance(made.get("default"), str | int | list) or made["default"] == []:
            made.pop("default", None)
        return made

    def field_title_should_be_set(self, schema: object) -> bool:
        del schema
        return False


def json_schema() -> dict[str, object]:
    """The JSON Schema (draft 2020-12) of the main file, and of further files whose heartbeats all have schedules.

    It accepts every good file. Of the bad ones it refuses those that are wrong in their structure, and those with
    values that a pattern can tell.
    """
    schema = MainFile.model_json_schema(schema_generator=_Generator)
    models = schema["$defs"]
    for model in models.values():
        del model["title"]
    models["Options"] |= _AT_MOST_ONE_SCHEDULE
    models["Entry"] |= _AT_MOST_ONE_SCHEDULE | {"required": ["name"], "not": {"required": ["token", "token_file"]}}
    models["Key"] |= {"oneOf": [{"required": ["key"]}, {"required": ["key_file"]}]}
    scheduled_by_default = {"properties": {"defaults": _ANY_SCHEDULE}, "required": ["defaults"]}
    return {
        "$schema": _Generator.schema_dialect,
        **schema,
        "title": "heartbeat-exporter configuration",
        "if": {"not": scheduled_by_default},
        "then": {"properties": {"heartbeats": {"items": _ANY_SCHEDULE}}},
    }
