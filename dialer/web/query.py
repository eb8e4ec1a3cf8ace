"""What stands behind the `?` of a URL, checked by a pydantic model like a body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from dialer.web.schema import Invalid

LARGEST_ID = 2**63 - 1
"""As far as PostgreSQL counts."""


class Query(BaseModel):
    """The parameters of a call; those of other names are ignored. A field's description says what is allowed."""

    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel, hide_input_in_errors=True)


Asked = TypeVar("Asked", bound=Query)


def parse_query(model: type[Asked], given: Mapping[bytes, Sequence[bytes]]) -> Asked:
    """Check the parameters of a request (`request.args`). Raises Invalid, naming the parameter."""
    fields = {str(info.alias): info for info in model.model_fields.values()}
    values: dict[str, str] = {}
    for name, info in fields.items():
        texts = given.get(name.encode(), ())
        if len(texts) > 1:
            raise Invalid(f"{name} must be given once", name)
        for text in texts:
            try:
                values[name] = text.decode()
            except UnicodeDecodeError:
                raise Invalid(f"{name} must be {info.description}", name) from None
    try:
        return model.model_validate(values)
    except ValidationError as error:
        name = str(error.errors(include_url=False, include_input=False)[0]["loc"][0])
    if name not in values:
        raise Invalid(f"{name} is required", name)
    raise Invalid(f"{name} must be {fields[name].description}", name)


def whole(least: int, most: int) -> Any:
    """The type of a whole number from `least` to `most`, in ASCII digits and nothing else."""

    def read(text: object) -> object:
        if isinstance(text, str) and (number := read_whole(text, least, most)) is not None:
            return number
        if isinstance(text, int):
            return text
        raise ValueError

    # The bounds next to the int: behind the validator they would not get into its JSON schema.
    return Annotated[
        int, Field(ge=least, le=most, description=f"a whole number from {least} to {most}"), BeforeValidator(read)
    ]


def read_whole(text: str, least: int, most: int) -> int | None:
    """The whole number that this text is; None when it is none, or out of bounds."""
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(most)):
        return None
    number = int(text)
    return number if least <= number <= most else None
