"""Schemas: JSON Schemas of the code's own types, gathered for one document.

Owns the names and the place of what is shared (`#/components/schemas`). Plain enough for both documents: AsyncAPI's
dialect is JSON Schema draft 7, OpenAPI 3.1's is 2020-12, and nothing here is read differently by the two.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from andon.member import Member

Schema = dict[str, Any]
_PLACE: Final = "#/components/schemas/{name}"


class Schemas:
    """The shared schemas of one document; `components` grows as they are asked for."""

    def __init__(self) -> None:
        self.components: dict[str, Schema] = {}

    def of(self, type_: Any) -> Schema:
        """Return the schema of a type: a reference, where it has a name."""
        (schema,), components = msgspec.json.schema_components((type_,), ref_template=_PLACE)
        self.components |= components
        return schema

    def member(self, member: Member[Any], *, may_be_null: bool = True) -> Schema:
        """Return the schema of a member; null is as good as absent in JSON."""
        schema = self.of(member.type)
        if may_be_null and schema:
            schema = {"anyOf": [schema, {"type": "null"}]}
        if "$ref" in schema:
            schema = {"allOf": [schema]}  # draft 7 sees nothing beside a `$ref`
        return {"description": member.meaning, **schema}

    def members(self, members: Iterable[Member[Any]], **others: Schema) -> Schema:
        """Return the schema of an object that has these members, and may have any other."""
        listed = tuple(members)
        schema: Schema = {
            "type": "object",
            "properties": {**others, **{m.name: self.member(m, may_be_null=not m.is_required) for m in listed}},
        }
        required = [m.name for m in listed if m.is_required]
        return {**schema, "required": required} if required else schema


def all_of(*schemas: Schema) -> Schema:
    """Join schemas. Never members beside a `$ref`: draft 7 does not see them."""
    return schemas[0] if len(schemas) == 1 else {"allOf": list(schemas)}
