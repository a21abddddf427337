"""What counts as a sequence of texts, and what is refused."""

import numpy as np
import pytest

from ban_tf.errors import InputError
from ban_tf.tasks import given_texts

TEXTS = ["the first", ""]


@pytest.mark.parametrize("form", [list, tuple, np.array])
def test_sequences_and_arrays_are_read(form):
    assert given_texts.as_list(form(TEXTS)) == TEXTS


@pytest.mark.parametrize(
    "texts",
    [None, "one", b"one", [], [1], [b"one"], ["one", None], {"one": 1}, iter(TEXTS), [TEXTS]]
    + [np.array([TEXTS]), np.array("one")],
)
def test_what_is_no_sequence_of_texts_is_refused(texts):
    with pytest.raises(InputError, match=r"`inputs` must be a sequence of lines\. Received: "):
        given_texts.as_list(texts, "lines")


def test_half_a_character_is_refused():
    message = r"`inputs` must be texts that UTF-8 can encode; number 1 \(from 0\) has the surrogate"
    with pytest.raises(InputError, match=message) as caught:
        given_texts.as_list(["whole \U0001f600", "half \ud83d of one"])
    assert "'\\ud83d', which is half a character." in str(caught.value)
    assert str(caught.value).isprintable()
