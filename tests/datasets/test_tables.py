"""Tables of any columns are read, split and described; what cannot be used is said before."""

import re

import numpy as np
import pytest

from ban_tf.datasets import table_columns, table_files, table_splits, tables
from ban_tf.errors import InputError


def write(tmp_path, text, name="rows.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return f"table:{path}"


@pytest.mark.parametrize(
    ("name", "sizes", "target", "kind"),
    [
        ("breast_cancer", (410, 46, 113), "target", "classes"),
        ("wine", (128, 14, 36), "target", "classes"),
        ("diabetes", (318, 36, 88), "target", "number"),
    ],
)
def test_the_examples_of_scikit_learn(name, sizes, target, kind):
    data = tables.load(f"table:{name}")
    assert (data.target.name, data.target.kind) == (target, kind)
    assert all(
        abs(len(data.parts[part]) - size) <= 3
        for part, size in zip(("train", "validation", "test"), sizes, strict=True)
    )
    assert all(column.kind == "number" for column in data.columns)
    other = tables.load(f"table:{name}", seed=1)
    assert other.content == data.content
    assert np.array_equal(other.parts["test"].targets, data.parts["test"].targets)
    key = data.columns[0].key
    first, second = (found.parts["train"].inputs[key] for found in (data, other))
    assert not np.array_equal(first, second)


def test_classes_and_numbers_are_split_alike():
    wine = tables.load("table:wine", validation_fraction=0.2).parts
    shares = [np.bincount(part.targets) / len(part) for part in wine.values()]
    assert np.allclose(shares, shares[0], atol=0.04)
    diabetes = tables.load("table:diabetes", validation_fraction=0.2).parts
    means = [part.targets.mean() for part in diabetes.values()]
    assert np.ptp(means) < 10  # of numbers of a deviation of 77


def test_a_csv_with_all_kinds_of_columns(tmp_path):
    lines = ["id;Größe;color;when;same;Target;split"]
    for row in range(30):
        split = ("train", "VALID", "test")[0 if row < 20 else 1 + row % 2]
        color = ("red", "NA", "blue")[row % 3]
        lines.append(f"x{row};{row or '?'};{color};2024-01-{row + 1:02};1;{row / 7};{split}")
    dataset = write(tmp_path, "\ufeff" + "\n".join(lines) + "\n\n")
    data = tables.load(dataset)
    assert {column.name: column.kind for column in data.columns} == {
        "Größe": "number",
        "color": "category",
        "when": "date",
        "id": "category",
    }
    assert data.left_out == {"same": "one value"}
    assert [len(data.parts[part]) for part in ("train", "validation", "test")] == [20, 5, 5]
    assert (data.target.name, data.target.kind) == ("Target", "number")
    train = data.parts["train"].targets
    assert (data.target.mean, data.target.std) == pytest.approx((train.mean(), train.std()))
    column = data.columns[0]
    assert column.missing and column.mean == pytest.approx(np.arange(1, 20).mean())
    assert np.isnan(data.parts["train"].inputs[column.key][0, 0])
    fewer = tables.load(dataset, ignored=["id", "when"], categorical=["Größe"])
    assert {column.name: column.kind for column in fewer.columns} == {
        "Größe": "category",
        "color": "category",
    }


def test_a_column_of_names_is_left_out(tmp_path):
    lines = [f"name{row},{row % 5},{'ab'[row % 2]}" for row in range(300)]
    data = tables.load(write(tmp_path, "\n".join(["name,x,label", *lines])))
    assert data.left_out == {"name": "a value of its own in most rows"}


def test_the_kind_of_the_target_may_be_chosen(tmp_path):
    lines = [f"{row},{row % 4}" for row in range(40)]
    dataset = write(tmp_path, "\n".join(["x,y", *lines]))
    assert tables.load(dataset).target.class_names == ("0", "1", "2", "3")
    assert tables.load(dataset, target_kind="number").target.kind == "number"
    assert tables.load(dataset, target="x", target_kind="auto").target.kind == "number"


def test_parquet_is_read_like_csv(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame(
        {
            "x": [1.5, None, 3.0] * 10,
            "color": ["red", None, "blue"] * 10,
            "yes": [True, False, True] * 10,
            "when": pandas.date_range("2024-01-01", periods=30, freq="6h"),
            "label": ["a", "b", "b"] * 10,
        }
    )
    frame.to_parquet(tmp_path / "rows.parquet")
    frame.to_csv(tmp_path / "rows.csv", index=False)
    first, second = (
        tables.load(f"table:{tmp_path / name}") for name in ("rows.parquet", "rows.csv")
    )
    assert first.columns == second.columns
    assert [column.kind for column in first.columns] == ["category", "date", "number", "category"]
    for key, cells in first.parts["train"].inputs.items():
        if cells.dtype == np.float64:
            np.testing.assert_array_equal(cells, second.parts["train"].inputs[key])
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        tables.load(f"table:{broken}")


GOOD = "x,y\n" + "".join(f"{row},{'ab'[row % 2]}\n" for row in range(20))


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "must have a name for each column in its first line"),
        ("x,x\n1,2\n", {}, "each another one; it has 'x', 'x'"),
        ("x,y\n", {}, "has no rows"),
        ("x,y\n1,2,3\n", {}, "has 3 cells in line 2 and 2 columns"),
        ('x,y\n"1,2\n', {}, "is not a CSV in UTF-8"),
        (GOOD, {"target": "z"}, "--target=z is no column of .*; it has x, y"),
        (GOOD, {"ignored": ["z"]}, "--ignored_columns names z, which is no column to learn from"),
        (GOOD, {"categorical": ["y"]}, "--categorical_columns names y"),
        (GOOD, {"ignored": ["x"]}, "has no column with information on y"),
        (GOOD, {"target_kind": "number"}, "column y has cells that are no numbers"),
        (GOOD + "5,\n", {}, "has no y in row 21; leave that row out"),
        ("x,y\n1,a\n2,a\n", {}, r"column y has 1 class\(es\); at least two are needed"),
        (
            "x,y,split\n1,a,train\n2,b,train\n3,c,test\n",
            {},
            "has no training rows of the class c in column y",
        ),
        ("x,y,split\n1,a,train\n2,b,later\n", {}, "has the split later in row 2; it must be train"),
        ("x,y,split\n1,a,train\n2,b,train\n", {}, "has no rows of the split test"),
    ],
)
def test_the_fault_is_named(tmp_path, text, options, message):
    dataset = write(tmp_path, text)
    with pytest.raises(InputError, match=message):
        tables.load(dataset, **options)


def test_a_file_that_is_not_there_is_answered_with_examples():
    message = "--dataset=table:absent.csv names no file; .* table:wine, table:diabetes"
    with pytest.raises(InputError, match=message):
        table_files.check("table:absent.csv")
    table_files.check("table:wine")


def test_test_rows_of_another_table(tmp_path):
    data = tables.load(write(tmp_path, GOOD))
    dataset = write(tmp_path, "y,other,x\nb,1,3\na,2,\n", "new.csv")
    rows = tables.test_rows(table_files.read(dataset), data.columns, data.target, None)
    assert rows.targets.tolist() == [1, 0]
    assert rows.inputs["x"][0, 0] == 3
    for text, message in (
        ("y\nb\n", "lacks the column x, with which"),
        ("x\n1\n", "lacks the column y, which the run predicts"),
        ("x,y\n1,c\n", "has the class c, which is not one of a, b"),
        ("x,y\nred,a\n", "column x has 'red', no number"),
    ):
        table = table_files.read(write(tmp_path, text, "wrong.csv"))
        with pytest.raises(InputError, match=re.escape(message)):
            tables.test_rows(table, data.columns, data.target, None)


def test_dates_that_are_none_are_refused():
    column = table_columns.Column("when", "when", "date")
    for cell in ("2024-13-01", "2024-02-30", "tomorrow"):
        with pytest.raises(InputError, match=re.escape(f"column when has {cell!r}, no date")):
            column.cells(np.array(["2024-01-01", "", cell], object), "rows.csv")


@pytest.mark.parametrize(
    ("names", "cells", "wanted"),
    [
        (("2", "10"), ("2.0", "10", "+2", "2.5", ""), ("2", "10", "2", "2.5", "")),
        (("2.0", "1.50"), ("2", "1.5", "3"), ("2.0", "1.50", "3")),
        (("true", "false"), ("True", "FALSE", "truth"), ("true", "false", "truth")),
        (("True", "False"), ("true", "False"), ("True", "False")),
        (("7", "007"), ("007", "7", "7.0"), ("007", "7", "7")),
        (("inf", "nan?", "a"), ("Infinity", "A"), ("inf", "A")),
        (("12345678901234567890",), ("12345678901234567891",), ("12345678901234567891",)),
    ],
)
def test_a_category_is_known_in_any_writing_of_a_number_or_truth_value(names, cells, wanted):
    assert table_columns.as_known(np.array(cells, object), names).tolist() == list(wanted)


def test_data_frames_and_dictionaries_are_read_like_the_file(tmp_path):
    pandas = pytest.importorskip("pandas")
    lines = [f"{('', '1', '2')[row % 3]},{('true', 'false')[row % 2]},{row}" for row in range(30)]
    dataset = write(tmp_path, "\n".join([" code, on ,y", *lines]))
    columns = tables.load(dataset, target="y", categorical=["code"]).columns
    assert [{*column.categories} for column in columns] == [{"", "1", "2"}, {"false", "true"}]
    wanted = table_columns.arrays(table_files.read(dataset), columns)
    plain = pandas.read_csv(tmp_path / "rows.csv")
    assert [str(kind) for kind in plain.dtypes] == ["float64", "bool", "int64"]
    for frame in (plain, plain.convert_dtypes(), plain.astype("category"), plain.to_dict("list")):
        table = table_files.from_columns(frame, "the frame")
        found = table_columns.arrays(table, columns)
        assert all(np.array_equal(found[key], wanted[key]) for key in wanted)
    with pytest.raises(InputError, match="for each column, each another one; it has 'a', 'a'"):
        table_files.from_columns({"a": [1], " a": [2]}, "the dictionary")
    with pytest.raises(InputError, match="must be a dictionary of columns"):
        table_files.from_columns(np.zeros((2, 3)), "the array")


def test_classes_of_another_table_are_known_in_any_writing(tmp_path):
    data = tables.load(write(tmp_path, GOOD.replace(",a", ",1").replace(",b", ",2")))
    table = table_files.read(write(tmp_path, "x,y\n1,2.0\n2,1.0\n", "new.csv"))
    assert tables.labels_of(table, data.target).tolist() == [1, 0]


def test_inputs_are_not_named_as_layers_of_the_saved_models():
    keys = table_columns._keys(["columns", "values", "probabilities", "encode_a", "a", "a!"])
    assert len(set(keys.values())) == 6 and keys["a"] == "a"
    assert not {"columns", "values", "probabilities", "encode_a"} & {*keys.values()}


def test_numbers_that_differ_by_rounding_alone_are_not_scaled_up():
    assert table_columns.usable_deviation(0.1, 1.4e-17) == 1.0
    assert table_columns.usable_deviation(0.0, 1e-40) == 1.0
    assert table_columns.usable_deviation(5.0, 0.5) == 0.5
    assert table_columns.usable_deviation(1e9, 5.0) == 5.0


@pytest.mark.parametrize(("mean", "warns"), [(1e9, True), (1e3, False)])
def test_a_number_that_float32_does_not_resolve_is_named(mean, warns, caplog):
    target = tables.measured("seconds", mean + np.array([-5.0, 5.0]))
    assert (target.mean, target.std) == (mean, 5.0)
    assert ("seconds is 1e+09 on average, and deviates from it by only 5" in caplog.text) == warns


def test_a_table_of_test_rows_alone_can_be_evaluated(tmp_path):
    (tmp_path / "t.csv").write_text("x,y,split\n1,a,test\n2,b,test\n")
    table = table_files.read(f"table:{tmp_path / 't.csv'}")
    assert table_splits.test(table, np.array([0, 1]), 0.2).all()
    (tmp_path / "t.csv").write_text("x,y,split\n1,a,train\n2,b,train\n")
    table = table_files.read(f"table:{tmp_path / 't.csv'}")
    with pytest.raises(InputError, match="no rows of the split test"):
        table_splits.test(table, np.array([0, 1]), 0.2)
