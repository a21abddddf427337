"""The schemas of a run's files; see `system.json_schema` for their types.

That of `summary.json` is in `metrics.summary`, and that of `analysis.json` in
`distillation.analysis`. Entries that are not declared may hold anything: settings of other tasks,
and entries of later versions.
"""

from __future__ import annotations

from typing import Any

from ban_tf.system.json_schema import Schema

_COUNT = {"type": "integer", "minimum": 0}
_POSITIVE = {"type": "integer", "minimum": 1}
_POSITIVE_OR_NULL = {"type": ["integer", "null"], "minimum": 1}
_COUNT_OR_NULL = {"type": ["integer", "null"], "minimum": 0}
_TEXT = {"type": "string"}
_TEXT_OR_NULL = {"type": ["string", "null"]}
_FLAG = {"type": "boolean"}
_NUMBERS = {"additionalProperties": {"type": "real"}}
_METRICS = {"type": "object", **_NUMBERS}


def _object(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties}


_NOT_NEGATIVE = {"type": "number", "minimum": 0}
_MEASURED = _object(
    ("error", "bytes", "milliseconds"),
    error=_NOT_NEGATIVE,
    bytes=_COUNT,
    milliseconds=_NOT_NEGATIVE,
)
# The manifest of an export; other formats and precisions have no measurements.
EXPORT = _object(
    quantization=_object(
        ("kind", "calibration_examples", "test_examples", "changed", "float32", "quantized"),
        kind={"enum": ["int8", "float16"]},
        metric={"enum": ["error", "rmse"]},  # error, where it is not there
        calibration_examples=_COUNT,
        test_examples=_COUNT,
        changed=_NOT_NEGATIVE,
        float32=_MEASURED,
        quantized=_MEASURED,
    )
)

_CONTENT = {"size": _COUNT, "sha256": {"type": "string", "pattern": r"^[0-9a-f]{64}\Z"}}
_LISTED = _object(
    ("size", "sha256"),
    **_CONTENT,
    former={"type": "array", "items": _object(("size", "sha256"), **_CONTENT)},
)
_GENERATION = _object(
    ("epochs", "finished", "teachers"),
    epochs=_POSITIVE,
    finished=_FLAG,
    teachers={"type": "object", "additionalProperties": _TEXT},
    # Of a finished one, in this version.
    taught_by=_TEXT,
    collapsed=_FLAG,
    kept=_METRICS,
)
_PRECISION = {"enum": ["float32", "mixed_bfloat16", "mixed_float16"]}
_METADATA = _object(
    settings={"type": "object"},
    generations={
        "type": "object",
        "propertyNames": {"pattern": r"^(0|[1-9][0-9]{0,5})\Z"},
        "additionalProperties": _GENERATION,
    },
    recipe=_object(epochs=_POSITIVE),
    teacher_signal=_object(
        ("recorded", "views"),
        recorded=_FLAG,
        views=_POSITIVE_OR_NULL,
        augmentation={"enum": ["none", "crop", "standard", "strong"]},
    ),
    precision=_PRECISION,
    teacher_precision=_PRECISION,
    opened=_COUNT,
)

MANIFEST: Schema = {
    "type": "object",
    "required": ["format", "files", "facts"],
    "properties": {
        "format": {"const": 1},
        "files": {
            "type": "object",
            "propertyNames": {"type": "file"},
            "additionalProperties": _LISTED,
        },
        "facts": _METADATA,
    },
    "additionalProperties": False,
}

# The settings on which the use of a run's models depends.
SETTINGS: Schema = _object(
    dataset=_TEXT,
    seed={"type": "integer"},
    arch=_TEXT_OR_NULL,
    student_arch=_TEXT_OR_NULL,
    teacher_from=_TEXT_OR_NULL,
    teacher_classes=_TEXT_OR_NULL,
    batch_size={**_POSITIVE_OR_NULL, "maximum": 2**24},
    unroll={**_POSITIVE_OR_NULL, "maximum": 2**24},
    skip_bad_files=_FLAG,
    test_fraction={"type": "number", "minimum": 0.01, "maximum": 0.9},
    validation_fraction={"type": "number", "minimum": 0, "maximum": 0.5},
    train_examples=_POSITIVE_OR_NULL,
    void_label={"type": "integer", "minimum": -1, "maximum": 255},
    ensemble_average={"enum": ["probabilities", "logits"]},
)

_PER_CHANNEL = {"type": "array", "minItems": 1, "maxItems": 2**14}
DATA: Schema = _object(
    ("dataset", "class_names", "input_shape", "mean", "std"),
    dataset=_TEXT,
    class_names={"type": "strings", "minItems": 1},
    input_shape={
        "type": "array",
        "minItems": 3,
        "maxItems": 3,
        "items": {"type": "integer", "minimum": 1, "maximum": 2**14},
    },
    mean={**_PER_CHANNEL, "items": {"type": "number", "minimum": -1e6, "maximum": 1e6}},
    std={**_PER_CHANNEL, "items": {"type": "number", "exclusiveMinimum": 0, "maximum": 1e6}},
    resize={"enum": ["crop", "pad", "stretch"]},
)

VOCABULARY: Schema = _object(("words",), words={"type": "strings", "minItems": 1})

SNIPPETS: Schema = _object(
    ("examples", "texts"),
    examples={"type": "array", "maxItems": 100_000, "items": _COUNT},
    texts={"type": "strings"},
)

CLASSES: Schema = _object(("class_names",), class_names={"type": "strings", "minItems": 1})

_FINITE = {"type": "number", "minimum": -1e308, "maximum": 1e308}
_DEVIATION = {"type": "number", "exclusiveMinimum": 0, "maximum": 1e308}
_COLUMN = _object(
    ("name", "key", "kind", "missing", "mean", "std", "categories", "times"),
    name=_TEXT,
    key={"type": "string", "pattern": r"^[A-Za-z0-9_]+\Z"},
    kind={"enum": ["number", "category", "date"]},
    missing=_FLAG,
    mean=_FINITE,
    std=_DEVIATION,
    categories={"type": "strings"},
    times=_FLAG,
)
COLUMNS: Schema = _object(
    ("dataset", "content", "target", "columns"),
    dataset=_TEXT,
    content=_TEXT,
    target=_object(
        ("name", "class_names", "mean", "std"),
        name=_TEXT,
        class_names={"type": "strings"},
        mean=_FINITE,
        std=_DEVIATION,
    ),
    columns={"type": "array", "minItems": 1, "maxItems": 2**14, "items": _COLUMN},
)

_THRESHOLD = {"type": "number", "minimum": 0, "maximum": 1}
THRESHOLDS: Schema = _object(
    ("models",),
    models={
        "type": "array",
        "minItems": 1,
        "maxItems": 20_000,
        "items": _object(
            ("members", "thresholds"),
            members={"type": "array", "minItems": 1, "maxItems": 20_000, "items": _COUNT},
            thresholds={"type": "array", "minItems": 1, "maxItems": 2**20, "items": _THRESHOLD},
        ),
    },
)

TEST_FILES: Schema = _object(("files",), files={"type": "strings", "minItems": 1})

SEGMENTS: Schema = _object(
    ("models", "files"),
    models={"type": "strings", "minItems": 1},
    files={"type": ["strings", "null"]},
)

NEAR_DUPLICATES: Schema = _object(
    ("count", "test", "train"),
    count={"type": "integer", "minimum": 1},
    test={"type": "strings", "minItems": 1},
    train={"type": "strings", "minItems": 1},
)

# A table of CSV has no integers.
_EPOCH = {"type": "number", "minimum": 1, "maximum": 1e9}


def _rows(others: dict[str, Any], **columns: Any) -> dict[str, Any]:
    row = _object(("epoch", *columns), epoch=_EPOCH, **columns)
    return {"type": "array", "maxItems": 100_000, "items": {**row, **others}}


_SECONDS = {"type": "number", "minimum": 0, "maximum": 1e12}
# The cells of a table are numbers in any case.
TABLES = {"history": _rows({}), "timings": _rows({}, seconds=_SECONDS)}

# What a checkpoint holds besides arrays: the fields of `history.TrainingState`, and how many of
# its arrays are metrics and the best weights.
NOTES: Schema = _object(
    ("metrics",),
    metrics=_COUNT,
    best_weights=_COUNT,
    epochs=_COUNT,
    step=_COUNT,
    steps=_COUNT_OR_NULL,
    seconds=_SECONDS,
    history=_rows(_NUMBERS),
    timings=_rows(_NUMBERS, seconds=_SECONDS),
    best={"type": ["object", "null"], "required": ["epoch"], "properties": {"epoch": _EPOCH}},
    stopped=_FLAG,
    retried=_FLAG,
    unvalidated={"type": ["object", "null"], **_NUMBERS},
    measured={"type": "object", "additionalProperties": _EPOCH},
    ended=_FLAG,
)
