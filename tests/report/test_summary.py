from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from ban_tf.metrics import classification, intervals, summary

RUN = {"dataset": "digits", "architecture": "wrn-16-1", "objective": "kd", "seed": 0}


def members_and_labels(generations=4, examples=400, improvements=(0.0, 0.0, 0.0, 2.0)):
    rng = np.random.default_rng(0)
    labels = rng.integers(6, size=examples)
    members = []
    for generation in range(generations):
        logits = rng.normal(size=(examples, 6))
        logits[np.arange(examples), labels] += 2.0 + improvements[generation]
        members.append(
            summary.Member(
                generation,
                f"generation {generation - 1}" if generation else "labels",
                logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True)),
                seconds=10.0 + generation,
                extra={"validation_error": 0.1},
            )
        )
    return members, labels


def test_rows_hold_the_statistics_of_each_generation():
    members, labels = members_and_labels()
    result = summary.summarize(RUN, members, labels)
    assert [row["generation"] for row in result["generations"]] == [0, 1, 2, 3]
    assert result["generations"][0]["change_in_error"] is None
    for member, row in zip(members, result["generations"], strict=True):
        measured = classification.evaluate(member.log_probabilities, labels)
        assert {name: row[name] for name in measured} == measured
        assert row["error_interval"][0] < row["error"] < row["error_interval"][1]
        assert (row["taught_by"], row["seconds"]) == (member.taught_by, member.seconds)
        assert row["extra"] == {"validation_error": 0.1}


def test_changes_are_paired_with_generation_0_and_an_improvement_is_negative():
    members, labels = members_and_labels()
    result = summary.summarize(RUN, members, labels)
    wrong = [member.log_probabilities.argmax(axis=-1) != labels for member in members]
    for generation in (1, 2, 3):
        change = result["generations"][generation]["change_in_error"]
        expected = intervals.paired_difference(wrong[generation], wrong[0])
        assert (change["difference"], change["low"], change["high"]) == expected
        assert change["mcnemar_p"] == intervals.mcnemar(~wrong[generation], ~wrong[0])
    clear = result["generations"][3]["change_in_error"]
    assert clear["significant"] and clear["high"] < 0


def test_a_copy_of_generation_0_is_not_significantly_different():
    members, labels = members_and_labels(1)
    copy = summary.Member(1, "generation 0", members[0].log_probabilities)
    change = summary.summarize(RUN, [*members, copy], labels)["generations"][1]["change_in_error"]
    assert change["low"] < change["difference"] == 0 < change["high"]
    assert change["mcnemar_p"] == 1.0
    assert not change["significant"]


def test_a_change_is_significant_only_if_interval_and_exact_test_agree():
    # Five examples newly right and none newly wrong: the interval leaves out zero, while the
    # exact test says p = 0.0625.
    labels = np.zeros(100, int)
    right, wrong = np.log([0.9, 0.1]), np.log([0.1, 0.9])
    before = np.array([wrong] * 8 + [right] * 92)
    after = np.array([right] * 5 + [wrong] * 3 + [right] * 92)
    members = [summary.Member(0, "labels", before), summary.Member(1, "generation 0", after)]
    change = summary.summarize(RUN, members, labels)["generations"][1]["change_in_error"]
    assert change["high"] < 0
    assert change["mcnemar_p"] == 0.0625
    assert not change["significant"]


def test_changes_are_adjusted_for_the_number_of_rows_in_old_summaries_too(tmp_path):
    members, labels = members_and_labels()
    result = summary.summarize(RUN, members, labels)
    rows = [*result["generations"][1:], *result["ensembles"]]
    own = [row["change_in_error"]["mcnemar_p"] for row in rows]
    found = [row["change_in_error"].pop("adjusted_p") for row in rows]
    np.testing.assert_allclose(found, stats.false_discovery_control(own))
    path = tmp_path / "summary.json"
    path.write_text(json.dumps(result))
    again = summary.load(path)
    rows = [*again["generations"][1:], *again["ensembles"]]
    assert [row["change_in_error"]["adjusted_p"] for row in rows] == found


def test_ensembles_are_all_prefixes_without_and_with_generation_0():
    members, labels = members_and_labels()
    ensembles = summary.summarize(RUN, members, labels)["ensembles"]
    assert [(row["name"], row["members"]) for row in ensembles] == [
        ("generations 1-2", [1, 2]),
        ("generations 1-3", [1, 2, 3]),
        ("generations 0-1", [0, 1]),
        ("generations 0-2", [0, 1, 2]),
        ("generations 0-3", [0, 1, 2, 3]),
    ]


@pytest.mark.parametrize(("average", "mean"), [("probabilities", np.exp), ("logits", lambda x: x)])
def test_ensembles_average_probabilities_or_logits_as_configured(average, mean):
    members, labels = members_and_labels()
    result = summary.summarize(RUN, members, labels, average)
    averaged = np.mean([mean(member.log_probabilities) for member in members[1:3]], axis=0)
    wrong = averaged.argmax(axis=-1) != labels
    assert result["average"] == average
    assert result["ensembles"][0]["error"] == wrong.mean()


@pytest.mark.parametrize(("generations", "ensembles"), [(1, 0), (2, 1), (3, 3)])
def test_a_run_may_still_be_in_progress(generations, ensembles):
    members, labels = members_and_labels(generations)
    assert len(summary.summarize(RUN, members, labels)["ensembles"]) == ensembles


def test_a_summary_survives_json_and_loads_from_its_directory(tmp_path):
    members, labels = members_and_labels()
    result = summary.summarize({**RUN, "epochs": 30}, members, labels)
    (tmp_path / "summary.json").write_text(json.dumps(result, allow_nan=False))
    assert summary.load(tmp_path) == summary.load(tmp_path / "summary.json") == result


def test_facts_and_order_are_checked():
    members, labels = members_and_labels()
    with pytest.raises(ValueError, match=r"`run` lacks objective, seed\."):
        summary.summarize({"dataset": "digits", "architecture": "wrn"}, members, labels)
    with pytest.raises(ValueError, match=r"in this order\. Received: \[1, 2, 3\]"):
        summary.summarize(RUN, members[1:], labels)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content.pop("format"), "lacks format"),
        (lambda content: content.update(format=7), "format must be 1"),
        (lambda content: content.pop("ensembles"), "lacks ensembles"),
        (lambda content: content["run"].pop("seed"), "run lacks seed"),
        (lambda content: content["generations"][1].pop("error"), r"generations\[1\] lacks error"),
        (
            lambda content: content["ensembles"][0]["change_in_error"].pop("low"),
            r"ensembles\[0\]\.change_in_error lacks low",
        ),
        (lambda content: content["generations"].insert(0, 3), r"generations\[0\] must be a dict"),
    ],
)
def test_a_damaged_summary_is_refused_by_name(tmp_path, damage, message):
    members, labels = members_and_labels()
    content = summary.summarize(RUN, members, labels)
    damage(content)
    path = tmp_path / "summary.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        summary.load(path)


def test_an_absent_or_unreadable_summary_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Cannot read the summary"):
        summary.load(tmp_path)
    (tmp_path / "summary.json").write_text("{")
    with pytest.raises(ValueError, match="not a JSON file"):
        summary.load(tmp_path)
    (tmp_path / "summary.json").write_text("[]")
    with pytest.raises(ValueError, match="must be a dictionary"):
        summary.load(tmp_path)
