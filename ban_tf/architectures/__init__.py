"""Networks by name: builds the Keras model for `wrn-28-10` or `package.module:function`.

A name starts with its family. A family is one module, listed in the table `names.FAMILIES`, with
`FORM` (the form of its names), `DEFAULT` (the full name for the bare family name), `NAMED` (the
settings in a name), `parse(name)` (the settings of one name, or an InputError), and two functions
that take those settings and its options: `extent` (see `check_extent`) and `build(input_shape,
num_classes, ...)`. A family for masks has `TASK = "masks"`, one of language models `TASK = "text"`,
one of text classifiers `TASK = "documents"` and one of networks for tables `TASK = "tables"`; the
`build` of the last three takes other sizes: see `build_language_model`, `build_text_classifier` and
`build_table_network`. `SHARES_ENDS = True` is for students that use the first and the last layer of
their teacher. CONTRIBUTING.md has the steps to add a family. Custom networks are in `custom`.

Pretrained backbones, `keras:NAME` and `kerashub:PRESET`, are in `applications` and `backbones`.

Names are checked without importing Keras, so that misspelled ones are reported immediately; family
modules therefore only import it in `build`.
"""

from ban_tf.architectures.applications import is_pretrained
from ban_tf.architectures.building import (
    build,
    build_language_model,
    build_table_network,
    build_text_classifier,
    count_parameters,
    pretrained,
)
from ban_tf.architectures.names import (
    FAMILIES,
    check_extent,
    check_settings,
    fits,
    named,
    resolve,
    settings,
    shares_ends,
    task,
)

__all__ = [
    "FAMILIES",
    "build",
    "build_language_model",
    "build_table_network",
    "build_text_classifier",
    "check_extent",
    "check_settings",
    "count_parameters",
    "fits",
    "is_pretrained",
    "named",
    "pretrained",
    "resolve",
    "settings",
    "shares_ends",
    "task",
]
