"""Raw columns become numbers inside of a Keras model: missing cells, categories and dates."""

import datetime
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import warm

from ban_tf.compat import copies
from ban_tf.datasets import column_features, table_columns
from ban_tf.datasets.table_files import Table
from ban_tf.tasks import table_features

HEADINGS = ("mean radius", "mean_radius", "größe/mm", "color", "code", "when", "at")
ROWS = [
    ("1", "5", "0.5", "red", "7", "2024-02-29", "2024-03-01 12:30:00"),
    ("", "6", "1.5", "", "8", "", "1999-12-31T23:59"),
    ("3", "7", "2.5", "red", "7", "1969-07-20", "2000-01-01 00:00:59Z"),
    ("8", "9", "4.5", "[UNK]", "9", "2100/03/01", "2001-01-01 06:00:00"),
]


def table(rows=ROWS):
    columns = zip(*rows, strict=True)
    cells = [np.array(column, object) for column in columns]
    return Table("rows.csv", dict(zip(HEADINGS, cells, strict=True)))


@pytest.fixture(scope="module")
def columns():
    found, left_out = table_columns.describe(table(), HEADINGS, np.ones(4, bool), ["code"])
    assert not left_out
    return found


@pytest.fixture(scope="module")
def model(columns):
    return table_features.build(columns)


def fed(columns, rows=ROWS):
    cells = table_columns.arrays(table(rows), columns)
    return {key: tf.convert_to_tensor(array) for key, array in cells.items()}


def by_column(columns, encoded):
    """Splits features by column, in the order of the columns."""
    widths = {
        "number": lambda column: 1,
        "category": lambda column: 1 + sum(value != "[UNK]" for value in column.categories),
        "date": lambda column: 5 + 2 * column.times,
    }
    found, start = {}, 0
    for column in columns:
        width = widths[column.kind](column)
        width += column.missing and column.kind != "category"
        found[column.name] = encoded[:, start : start + width]
        start += width
    assert start == encoded.shape[1]
    return found


def test_features_without_tensorflow_are_the_same(columns, model):
    further = ("", "-4", "1e3", "pink", "", "1999-02-28 00:00", "2024-12-31")
    cells = table_columns.arrays(table([*ROWS, further]), columns)
    features = column_features.ColumnFeatures(columns)
    found, expected = features.encode(cells), table_features.encode(model, cells)
    assert found.dtype == np.float32 and features.output_shape == model.output_shape
    np.testing.assert_allclose(found, expected, atol=1e-6, rtol=1e-6)


def test_kinds_of_columns_are_distinguished(columns):
    kinds = {column.name: column.kind for column in columns}
    assert kinds == {
        **dict.fromkeys(HEADINGS[:3], "number"),
        **dict.fromkeys(("color", "code"), "category"),
        **dict.fromkeys(("when", "at"), "date"),
    }
    assert {column.key for column in columns} == {
        *("mean_radius", "mean_radius_2", "gr_e_mm", "color", "code", "when", "at")
    }
    assert {column.name for column in columns if column.missing} == {"mean radius", "color", "when"}
    assert {column.name for column in columns if column.times} == {"at"}


def test_numbers_are_standardized_and_missing_ones_are_the_mean(columns, model):
    found = by_column(columns, model(fed(columns)).numpy())
    given = np.array([1.0, 3.0, 8.0])
    wanted = [(value - given.mean()) / given.std() for value in (1.0, given.mean(), 3.0, 8.0)]
    np.testing.assert_allclose(found["mean radius"][:, 0], wanted, rtol=1e-6, atol=1e-7)
    assert found["mean radius"][:, 1].tolist() == [0.0, 1.0, 0.0, 0.0]
    assert found["mean_radius"].shape == (4, 1)


def test_saved_models_whose_numbers_are_float32_take_the_same_cells(columns, model, monkeypatch):
    cells = table_columns.arrays(table(), columns)
    wanted = table_features.encode(model, cells)
    monkeypatch.setitem(table_features._DTYPES, "number", "float32")
    earlier = table_features.build(columns)
    assert earlier.input["mean_radius"].dtype == "float32"
    np.testing.assert_allclose(table_features.encode(earlier, cells), wanted, atol=1e-6)


def test_numbers_far_from_zero_keep_their_differences():
    seconds = 1.7e9 + np.arange(0.0, 3600.0, 7.0)
    wanted = ((seconds - seconds.mean()) / seconds.std())[:, None]
    mean, std = float(seconds.mean()), float(seconds.std())
    column = table_columns.Column("at", "at", "number", mean=mean, std=std)
    cells = table_columns.arrays(
        Table("rows.csv", {"at": seconds.astype(str).astype(object)}), [column]
    )
    for features in (column_features.ColumnFeatures([column]), table_features.build([column])):
        found = table_features.encode(features, cells)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, wanted, atol=1e-6)
    in_float32 = features({"at": tf.constant([[mean]], tf.float32)})
    assert abs(float(in_float32[0, 0])) < 0.1


def test_categories_are_one_hot_and_unknown_ones_have_a_place(columns, model):
    rows = [list(row) for row in ROWS]
    rows[0][3], rows[0][4] = "green", "10"
    found = by_column(columns, model(fed(columns, rows)).numpy())
    # The most common first, then by name: "red", "" and all others.
    assert found["color"].tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]]
    assert found["code"].tolist() == [[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]


def test_dates_are_those_of_the_calendar(columns, model):
    found = by_column(columns, model(fed(columns)).numpy())
    column = next(column for column in columns if column.name == "when")
    for row, cell in enumerate(ROWS):
        if not cell[5]:
            assert found["when"][row].tolist() == [0, 0, 0, 0, 0, 1]
            continue
        date = datetime.date.fromisoformat(cell[5].replace("/", "-"))
        days = (date - datetime.date(1970, 1, 1)).days
        year = 2 * np.pi * (date.month - 1 + (date.day - 1) / 31) / 12
        week = 2 * np.pi * date.weekday() / 7
        wanted = [(days - column.mean) / column.std, *_points(year), *_points(week), 0]
        np.testing.assert_allclose(found["when"][row], wanted, atol=1e-5)
    day = 2 * np.pi * np.array([750, 1439, 0, 360]) / 1440
    np.testing.assert_allclose(found["at"][:, 5], np.sin(day), atol=1e-5)
    np.testing.assert_allclose(found["at"][:, 6], np.cos(day), atol=1e-5)


def _points(angle):
    return np.sin(angle), np.cos(angle)


def test_every_day_of_eight_centuries_has_its_number():
    days = np.arange(-150_000, 150_000)
    dates = [datetime.date(1970, 1, 1) + datetime.timedelta(int(day)) for day in days]
    parts = np.array([(date.year, date.month, date.day) for date in dates], np.int32).T
    assert np.array_equal(table_features.days_since_1970(*parts), days)


@pytest.mark.nightly
def test_the_model_is_saved_copied_and_loaded_without_this_package(columns, model, tmp_path):
    network = keras.Sequential([keras.Input((model.output_shape[1],)), keras.layers.Dense(2)])
    whole = table_features.around(model, network, columns, keras.layers.Rescaling(3.0, 1.0))
    inputs = fed(columns)
    wanted = whole(inputs).numpy()
    np.testing.assert_allclose(wanted, 3.0 * network(model(inputs)).numpy() + 1.0, rtol=1e-4)
    assert np.array_equal(copies.with_same_weights(whole)(inputs), wanted)
    whole.save(tmp_path / "whole.keras")
    np.savez(tmp_path / "inputs.npz", **{key: array.numpy() for key, array in inputs.items()})
    np.save(tmp_path / "wanted.npy", wanted)
    code = """
import sys
sys.modules["ban_tf"] = None
import keras, numpy as np, tensorflow as tf
inputs = np.load("inputs.npz", allow_pickle=True)
inputs = {key: tf.convert_to_tensor(inputs[key]) for key in inputs.files}
found = keras.models.load_model("whole.keras").predict(inputs, verbose=0)
np.testing.assert_allclose(found, np.load("wanted.npy"), rtol=1e-4, atol=1e-5)
"""
    warm.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    whole.export(tmp_path / "exported", format="tf_saved_model", verbose=False)
    exported = tf.saved_model.load(tmp_path / "exported")
    np.testing.assert_allclose(exported.serve(inputs), wanted, rtol=1e-4, atol=1e-5)
