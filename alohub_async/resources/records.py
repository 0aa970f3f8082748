"""Records of answers, and errors that say which one does not fit."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar, get_origin

import attrs

from alohub_async.codec.converter import converter_for
from alohub_async.codec.fields import FieldError
from alohub_async.errors import APIResponseError, InvalidArgumentTypeError
from alohub_async.models import Record
from alohub_async.printable import printable
from alohub_async.validation import refuse

T = TypeVar("T")
RecordT = TypeVar("RecordT", bound=Record)

StructurePage: TypeAlias = Callable[[Sequence[Any], int], list[T]]
"""Makes the objects of a page's JSON records; its second argument is the page's number, for the error."""


def structure_record(cls: type[RecordT], record: Mapping[str, Any], *, strict: bool, where: object) -> RecordT:
    """Make one record. With `strict`, a value that does not fit is an error, instead of being kept in `extra`."""
    try:
        return converter_for(strict=strict).structure(record, cls)
    except FieldError as exc:
        message = f"{where}: field {exc.field!r} has a value that does not fit: {exc.value!r:.200}"
        raise APIResponseError(message, status=200) from exc


def structure_page(cls: type[RecordT], records: Sequence[Any], page: int, *, strict: bool) -> list[RecordT]:
    """Make a page of records."""
    try:
        return converter_for(strict=strict).structure(records, list[cls])  # type: ignore[valid-type]
    except FieldError:  # once more, to say where
        placed = ((f"page {page}, index {index}", record) for index, record in enumerate(records))
        return [structure_record(cls, record, strict=strict, where=where) for where, record in placed]


def page_of_models(model: Any, *, strict: bool) -> StructurePage[Any]:
    """Make the function that makes a page of a user's own objects: an attrs class, or None for plain dicts.

    `strict` is for a class with a field `extra`. An `InvalidArgumentTypeError` says that no record can be made.
    """
    if model is None:
        return lambda records, _: list(records)
    from cattrs import BaseValidationError, StructureHandlerNotFoundError, transform_error

    if not inspect.isclass(get_origin(model) or model) or not attrs.has(model):
        raise refuse("model", "an attrs class, or None for dicts", model, wrong_type=True)
    try:
        structure = converter_for(strict=strict).get_structure_hook(model)
    except (StructureHandlerNotFoundError, TypeError, NameError, AttributeError, SyntaxError) as exc:
        raise InvalidArgumentTypeError(f"no record can be made of {model!r}: {exc}") from exc

    def structure_models(records: Sequence[Any], page: int) -> list[Any]:
        items: list[Any] = []
        for index, record in enumerate(records):
            try:
                items.append(structure(record, model))
            except (BaseValidationError, ValueError, TypeError, KeyError) as exc:
                why = "; ".join(transform_error(exc)) if isinstance(exc, BaseValidationError) else f"{exc!r:.200}"
                message = f"page {page}, index {index}: the record does not fit {model.__name__}: {printable(why)}"
                raise APIResponseError(message, status=200) from exc
        return items

    return structure_models
