"""What a run on masks keeps of its test images: predicted masks, numbers of pixels, pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ban_tf.datasets import Split
from ban_tf.report import overlays
from ban_tf.runs import segments
from ban_tf.runs.rundir import RunDirectory
from ban_tf.tasks.segmentation_scores import Scores
from ban_tf.training import checkpoints

_MOST = 2**27  # bytes of a generation's predicted masks


def write_masks(directory: RunDirectory, scores: Sequence[Scores]) -> None:
    """Stores the masks that each generation predicts, `generation-*/masks.npz`.

    Of many large images these are the first ones.

    Args:
        directory: The run directory.
        scores: Of the generations, with their masks.
    """
    files = {}
    for number, score in enumerate(scores):
        assert score.predicted is not None
        most = max(1, _MOST // math.prod(score.predicted.shape[1:]))
        files[f"generation-{number}/masks.npz"] = checkpoints.pack([score.predicted[:most]])
    directory.commit(files)


def write(
    directory: RunDirectory, scores: Mapping[str, Scores], test: Split, class_names: Sequence[str]
) -> None:
    """Stores what a report shows of the test images; see `segments`.

    Args:
        directory: The run directory.
        scores: Of the generations and of the ensemble, with their masks, by name.
        test: The test images and their masks.
        class_names: In the order of the classes.
    """
    counts = [score.counts for score in scores.values()]
    drawn = {name: scores[name].predicted for name in overlays.shown(scores)}
    pictures = {
        int(index): overlays.draw(
            np.asarray(test.images[index : index + 1])[0],
            test.labels[index],
            {name: masks[index] for name, masks in drawn.items() if masks is not None},
            class_names,
        )
        for index in overlays.choose(counts)
    }
    confusion = np.stack([score.confusion for score in scores.values()])
    kept = segments.Segments(tuple(scores), counts, confusion, test.files, pictures)
    files = kept.to_files()
    former = [name for name in directory.names(segments.PICTURES) if name not in files]
    directory.commit(files, remove=former)
