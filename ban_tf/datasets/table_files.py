"""Reads tables of any columns: CSV, Parquet where pandas reads it, and scikit-learn's examples.

A table is text in columns, from any source: what its cells mean is decided in
`table_columns`, in one place for all sources. A cell that is missing is the empty text.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ban_tf.datasets.folder_layout import ALL, PARTS
from ban_tf.errors import InputError
from ban_tf.system import csv_tables

PREFIX, CSV = "table:", "csv:"
EXAMPLES = ("breast_cancer", "wine", "diabetes")
SPLIT = "split"
# The names of what is predicted, where none is given.
_TARGETS = ("label", "target")
_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "nat", "<na>", "?"})
_PARQUET = (".parquet", ".pq")


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """A table as it was read.

    Attributes:
        name: The value of `--dataset`, or the name of the file.
        columns: The cells of each column by its heading, text `[rows]`; "" where one is missing.
    """

    name: str
    columns: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def content(self) -> str:
        """Returns a hash of the table."""
        found = hashlib.sha256()
        for heading, cells in self.columns.items():
            found.update("\0".join((heading, *cells)).encode(errors="surrogatepass") + b"\1")
        return found.hexdigest()[:16]


def path_of(dataset: str) -> pathlib.Path | None:
    """Returns the file of a dataset; None for an example of scikit-learn.

    Args:
        dataset: "table:FILE", "table:NAME" of an example, or "csv:FILE".
    """
    kind, _, name = dataset.partition(":")
    if f"{kind}:" == PREFIX and name in EXAMPLES:
        return None
    path = pathlib.Path(name)
    return path.expanduser() if name.startswith("~") else path


def check(dataset: str) -> None:
    """Checks the name of a dataset before it is read.

    Raises:
        InputError: There is no such file.
    """
    path = path_of(dataset)
    if path is None or path.is_file():
        return
    raise InputError(
        f"--dataset={dataset} names no file; give {PREFIX}FILE with a table in CSV or Parquet, or "
        f"an example: {', '.join(PREFIX + name for name in EXAMPLES)}."
    )


def read(dataset: str) -> Table:
    """Reads the table of a dataset; see `path_of`.

    Raises:
        InputError: It cannot be read, or is no table.
    """
    check(dataset)
    path = path_of(dataset)
    if path is None:
        return _example(dataset)
    return read_file(path, f"--dataset={dataset}")


def read_file(path: pathlib.Path, name: str) -> Table:
    """Reads a file: Parquet by its suffix, all others as CSV.

    Args:
        path: The file.
        name: What messages call it.

    Raises:
        InputError: It cannot be read, or is no table.
    """
    try:
        parquet = path.suffix.lower() in _PARQUET
        headings, rows = _parquet(path, name) if parquet else _csv(path, name)
    except OSError as error:
        raise InputError(f"{name} cannot be read ({error.strerror}).") from error
    headings = _checked(headings, f"{name} must have a name for each column in its first line")
    if not rows:
        raise InputError(f"{name} has no rows.")
    cells = [np.array(column, object) for column in zip(*rows, strict=True)]
    return Table(name, dict(zip(headings, cells, strict=True)))


def from_columns(columns: Any, name: str) -> Table:
    """Returns a table from columns in memory.

    Args:
        columns: A dictionary from headings to cells, or a data frame of pandas.
        name: What messages call it.

    Raises:
        InputError: The columns have different lengths or one name, or there are none.
    """
    try:
        given = [(str(heading), cells(columns[heading])) for heading in columns]
    except (TypeError, KeyError, IndexError) as error:
        raise InputError(
            f"{name} must be a dictionary of columns, a data frame or the path of a file. "
            f"Received: {type(columns).__name__}"
        ) from error
    headings = _checked(
        [heading for heading, _ in given], f"{name} must have a name for each column"
    )
    found = dict(zip(headings, [column for _, column in given], strict=True))
    if len({len(column) for column in found.values()}) != 1 or not len(next(iter(found.values()))):
        raise InputError(f"{name} must have columns of as many cells each, and at least one row.")
    return Table(name, found)


def cells(values: Iterable[Any]) -> np.ndarray:
    """Returns values of any type as the cells of a column; None and NaN are missing."""
    return np.array(["" if value is None else _cell(str(value)) for value in values], object)


def known_parts(dataset: str) -> set[str]:
    """Returns the parts that the column `split` of a table names; `ALL` if there is no such column.

    Args:
        dataset: See `path_of`. There are none of a file that cannot be read.
    """
    try:
        path = path_of(dataset)
        if path is None:
            return {ALL}
        if not path.is_file():
            return set()
        if path.suffix.lower() not in _PARQUET and SPLIT not in csv_tables.headings(str(path)):
            return {ALL}
        columns = read(dataset).columns
    except (InputError, OSError):
        return set()
    found = next((column for name, column in columns.items() if name.lower() == SPLIT), None)
    if found is None:
        return {ALL}
    return {PARTS[cell.lower()] for cell in found if cell.lower() in PARTS}


def target_of(table: Table, wanted: str | None) -> str:
    """Returns the heading of the column that is predicted.

    Args:
        table: The table.
        wanted: The value of `--target`; None for the column `label` or `target`, or the last.

    Raises:
        InputError: There is no such column.
    """
    headings = [heading for heading in table.columns if heading.lower() != SPLIT]
    if wanted is None:
        named = [heading for heading in headings if heading.lower() in _TARGETS]
        wanted = (named or headings[-1:] or [""])[0]
    if wanted not in headings:
        raise InputError(
            f"--target={wanted} is no column of {table.name}; it has {', '.join(headings)}."
        )
    return wanted


def _csv(path: pathlib.Path, name: str) -> tuple[list[str], list[list[str]]]:
    try:
        # With or without the mark that some programs put before UTF-8.
        with path.open(encoding="utf-8-sig", newline="") as stream:
            delimiter = csv_tables.delimiter(stream)
            reader = csv.reader(stream, strict=True, delimiter=delimiter)
            headings = next(reader, [])
            rows = []
            for row in filter(None, reader):
                if len(row) != len(headings):
                    raise InputError(
                        f"{name} has {len(row)} cells in line {reader.line_num} and "
                        f"{len(headings)} columns; put cells with commas in quotes."
                    )
                rows.append([_cell(value) for value in row])
            return headings, rows
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{name} is not a CSV in UTF-8 ({error}).") from error


def _parquet(path: pathlib.Path, name: str) -> tuple[list[str], list[list[str]]]:
    try:
        import pandas
    except ImportError as error:
        raise InputError(
            f"{name} is Parquet, which pandas reads: pip install pandas pyarrow, or give a CSV."
        ) from error
    try:
        frame = pandas.read_parquet(path)
    except OSError:
        raise
    except Exception as error:  # of pandas, and of the libraries that read for it
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{name} cannot be read as Parquet ({first}).") from error
    columns = [cells(frame[key]) for key in frame.columns]
    return list(map(str, frame.columns)), list(map(list, zip(*columns, strict=True)))


def _checked(headings: Iterable[str], rule: str) -> list[str]:
    """Returns headings without blanks around them, after checking that each has its own name."""
    found = [heading.strip() for heading in headings]
    if not all(found) or len(set(found)) < len(found) or not found:
        shown = ", ".join(map(repr, found)) or "none"
        raise InputError(f"{rule}, each another one; it has {shown}.")
    return found


def _cell(value: str) -> str:
    value = value.strip()
    return "" if value.lower() in _MISSING else value


def _example(dataset: str) -> Table:
    from sklearn import datasets

    name = dataset.removeprefix(PREFIX)
    if name == "diabetes":
        # As measured: scikit-learn's own scaling would use the test rows, too.
        bundle: Any = datasets.load_diabetes(scaled=False)
        target: Sequence[Any] = bundle.target.tolist()
    else:
        bundle = {"wine": datasets.load_wine, "breast_cancer": datasets.load_breast_cancer}[name]()
        target = [bundle.target_names[label] for label in bundle.target]
    columns = {
        heading: np.array([repr(value) for value in cells.tolist()], object)
        for heading, cells in zip(bundle.feature_names, bundle.data.T, strict=True)
    }
    columns["target"] = np.array([str(value) for value in target], object)
    return Table(f"--dataset={dataset}", columns)
