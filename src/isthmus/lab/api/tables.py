"""Server-side tables: rows of cells, made by the columns of a kind."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from isthmus.lab.api.contracts import Object

Cell = Callable[[Object], Any]


@dataclass(frozen=True)
class Column:
    """One column; `wide` ones show up with `-o wide` only."""

    name: str
    cell: Cell
    type: str = "string"
    format: str = ""
    wide: bool = False
    description: str = ""

    def definition(self) -> Object:
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description or self.name,
            "priority": 1 if self.wide else 0,
        }


def table(
    columns: Sequence[Column], objects: Sequence[Object], *, metadata: Object, include: str, headers: bool = True
) -> Object:
    """A `Table` of objects. `include` is None, Metadata or Object: what each row carries of its object."""
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": [column.definition() for column in columns] if headers else [],
        "rows": [_row(columns, obj, include) for obj in objects],
    }


def _row(columns: Sequence[Column], obj: Object, include: str) -> Object:
    row: Object = {"cells": [column.cell(obj) for column in columns]}
    if include == "Object":
        row["object"] = obj
    elif include != "None":
        row["object"] = partial(obj)
    return row


def partial(obj: Object) -> Object:
    """An object's metadata on its own."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}
