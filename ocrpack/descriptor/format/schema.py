"""The JSON Schema that is made from the model, for editors and for `schemas/descriptor.schema.json`."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue

from ocrpack.descriptor.format.model import SCHEMA_ID, Descriptor


class _EditorSchema(GenerateJsonSchema):
    """JSON Schema 2020-12 without `null` alternatives: an optional key is left out, never null."""

    schema_dialect = "https://json-schema.org/draft/2020-12/schema"

    def generate(self, schema: Any, mode: JsonSchemaMode = "validation") -> JsonSchemaValue:
        return {"$schema": self.schema_dialect, "$id": SCHEMA_ID, **super().generate(schema, mode)}

    def nullable_schema(self, schema: Any) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: Any) -> JsonSchemaValue:
        inner = super().default_schema(schema)
        return _without_null(inner)


def _without_null(schema: JsonSchemaValue) -> JsonSchemaValue:
    """Return the schema whose default holds no null, which the schema itself would refuse."""
    match schema.get("default", ...):
        case None:
            return {key: value for key, value in schema.items() if key != "default"}
        case dict() as default:
            return {**schema, "default": {key: value for key, value in default.items() if value is not None}}
    return schema


def json_schema() -> dict[str, Any]:
    """Return the descriptor's JSON Schema (2020-12), as `schemas/descriptor.schema.json` holds it."""
    return Descriptor.model_json_schema(schema_generator=_EditorSchema, by_alias=True)
