"""A flag that is given and would do nothing is refused: every line of the table, one by one."""

import dataclasses
import pathlib

import pytest
from absl import flags

from ban_tf.cli import evaluate
from ban_tf.cli import report as report_command
from ban_tf.cli import reproduce as study_command
from ban_tf.config import idle, options, registry
from ban_tf.config.declaration import Declaration
from ban_tf.reproduction.tables import EXPERIMENTS

ROOT = pathlib.Path(__file__).parents[2]

TEXT = "--dataset=text"
SHAPES, MASKED = "--dataset=segmentation", "--dataset=segmentation:masked"
LABELS = "--objective=labels"
OWN = "--dataset=rows"  # of a task of somebody else, which supports nothing
CLASSES, PARTS = "--dataset=folder:classes", "--dataset=folder:parts"
KD = "--objective=kd"

# A flag, what it is given beside, and the flag that it does nothing with.
IDLE = [
    ("--max_gens=5", [], "--gens=3"),
    ("--share_ends", [LABELS], LABELS),
    ("--dropout=0", ["--arch=mine:build"], "--arch=mine:build"),
    ("--compression=0.5", ["--arch=mine:build"], "--arch=mine:build"),
    ("--bottleneck=false", [], "--arch=wrn-16-1"),
    ("--final_transition", [], "--arch=wrn-16-1"),
    ("--remat", [], "--arch=wrn-16-1"),
    ("--data_dir=there", [], "--dataset=digits"),
    ("--data_dir=there", [TEXT], TEXT),
    ("--validation_fraction=0.2", [TEXT], TEXT),
    ("--train_examples=100", [TEXT], TEXT),
    ("--cache=disk", [TEXT], TEXT),
    ("--cache=memory", [], "--dataset=digits"),
    ("--image_size=32", [TEXT], TEXT),
    ("--resize=pad", [TEXT], TEXT),
    ("--eval_batch_size=50", [TEXT], TEXT),
    ("--validation_fraction=0.2", [PARTS], PARTS),
    ("--test_fraction=0.3", [TEXT], TEXT),
    ("--target=x", [], "--dataset=digits"),
    ("--target_kind=number", [TEXT], TEXT),
    ("--ignored_columns=x", [], "--dataset=digits"),
    ("--categorical_columns=x", [], "--dataset=digits"),
    ("--test_fraction=0.3", [PARTS], PARTS),
    ("--test_fraction=0.3", [], "--dataset=digits"),
    ("--skip_bad_files", [TEXT], TEXT),
    ("--max_words=500", [], "--dataset=digits"),
    ("--max_length=50", [TEXT], TEXT),
    ("--input=raw", [TEXT], TEXT),
    ("--input=raw", ["--arch=keras:VGG16"], "--arch=keras:VGG16"),
    ("--weights=none", [], "--arch=wrn-16-1"),
    ("--weights=none", [TEXT], "--arch=lstm"),
    ("--freeze=backbone", [], "--arch=wrn-16-1"),
    ("--fresh=all", [], "--arch=wrn-16-1"),
    ("--fresh=all", [TEXT], TEXT),
    ("--backbone_learning_rate=0.1", [], "--arch=wrn-16-1"),
    (
        "--backbone_learning_rate=0.1",
        ["--arch=keras:VGG16", "--freeze=backbone"],
        "--freeze=backbone",
    ),
    ("--teacher_input=raw", [TEXT], TEXT),
    ("--teacher_input=raw", [], "without --teacher_from"),
    ("--teacher_classes=classes.csv", [TEXT], TEXT),
    ("--teacher_classes=classes.csv", [], "without --teacher_from"),
    ("--skip_bad_files", [], "--dataset=digits"),
    ("--augment=no", [TEXT], TEXT),
    ("--label_weight=0.5", [LABELS], LABELS),
    ("--label_smoothing=0.1", [KD, "--teacher_from=teacher.keras"], KD),
    ("--label_smoothing=0.1", ["--label_weight=0", "--teacher_from=teacher.keras"], "--objective="),
    ("--temperature=2", [LABELS], LABELS),
    ("--temperature=2", ["--objective=cwtm+labels"], "--objective=cwtm"),
    ("--temperature=2", ["--objective=importance"], "--objective=importance"),
    ("--temperature=2", ["--objective=mine:objective"], "--objective=mine:objective"),
    ("--tighten_epochs=1", [LABELS], LABELS),
    ("--activation_weight=1", [TEXT], TEXT),
    ("--activation_weight=1", [LABELS], LABELS),
    ("--feature_weight=1", [TEXT], TEXT),
    ("--feature_weight=1", [LABELS], LABELS),
    ("--feature_layers=a:b", [TEXT], TEXT),
    ("--feature_layers=a:b", [], "without --feature_weight"),
    ("--feature_loss=cosine", [TEXT], TEXT),
    ("--feature_loss=cosine", [], "without --feature_weight"),
    ("--recordings=there", ["--feature_weight=1"], "--feature_weight=1.0"),
    ("--mixup=0.2", [TEXT], TEXT),
    ("--cutmix=1", [TEXT], TEXT),
    ("--class_weight=balanced", [TEXT], TEXT),
    ("--unlabelled=folder:classes", [TEXT], TEXT),
    ("--unlabelled=folder:classes", [LABELS], LABELS),
    ("--unlabelled=folder:classes", ["--objective=cwtm"], "--objective=cwtm"),
    ("--unlabelled_confidence=0.5", [TEXT], TEXT),
    ("--unlabelled_confidence=0.5", [], "without --unlabelled"),
    ("--unlabelled_balance=5", [TEXT], TEXT),
    ("--unlabelled_balance=5", [], "without --unlabelled"),
    ("--monitor=val_balanced_accuracy", [TEXT], TEXT),
    ("--monitor=val_accuracy", ["--validation_fraction=0"], "--validation_fraction=0"),
    ("--teacher=ensemble", [LABELS], LABELS),
    ("--teacher=previous", [LABELS], LABELS),
    ("--teacher_from=teacher.keras", [OWN], OWN),
    ("--teacher_signal=online", [OWN], OWN),
    ("--teacher_signal=online", [LABELS], LABELS),
    ("--teacher_precision=float32", [LABELS], LABELS),
    ("--teacher_views=2", [TEXT], TEXT),
    ("--teacher_views=2", [LABELS, "--augment=yes"], LABELS),
    ("--teacher_views=2", [], "--augment=auto"),
    ("--teacher_views=2", ["--dataset=cifar10", "--augment=no"], "--augment=no"),
    ("--teacher_views=2", ["--dataset=cifar10", "--augment=none"], "--augment=none"),
    ("--teacher_top=3", [OWN], OWN),
    ("--teacher_top=3", [LABELS], LABELS),
    ("--teacher_top=3", ["--teacher_signal=online"], "--teacher_signal=online"),
    ("--teacher_top=3", [], "--teacher_signal=auto"),
    ("--recordings=there", [OWN], OWN),
    ("--recordings=there", [LABELS], LABELS),
    ("--recordings=there", ["--teacher_signal=online"], "--teacher_signal=online"),
    ("--recordings=there", ["--mixup=0.2"], "--mixup=0.2"),
    ("--recordings=there", ["--cutmix=1"], "--cutmix=1.0"),
    ("--recordings=there", ["--activation_weight=1"], "--activation_weight=1.0"),
    ("--recordings=there", ["--analyse"], "--analyse"),
    ("--momentum=0.9", ["--optimizer=adam"], "--optimizer=adam"),
    ("--momentum=0", ["--optimizer=rmsprop"], "--optimizer=rmsprop"),
    ("--momentum=0", [TEXT, "--optimizer=adam"], "--optimizer=adam"),
    ("--plateau_factor=0.5", [], "--dataset=digits"),
    ("--plateau_factor=0.5", [TEXT, "--schedule=cosine"], "--schedule=cosine"),
    ("--plateau_threshold=1", [], "--dataset=digits"),
    ("--plateau_threshold=1", [TEXT, "--schedule=step"], "--schedule=step"),
    ("--unroll=20", [], "--dataset=digits"),
    ("--void_label=0", [], "--dataset=digits"),
    ("--void_label=0", [SHAPES], SHAPES),
    ("--skip_void", [], "--dataset=digits"),
    ("--skip_void", [SHAPES, LABELS], LABELS),
    ("--skip_void", [SHAPES, "--objective=cwtm"], "--objective=cwtm"),
    ("--cache=disk", [SHAPES], "images and masks are in memory"),
    ("--test_fraction=0.3", [SHAPES], SHAPES),
    ("--jit=no", [TEXT], TEXT),
    ("--virtual_devices=2", ["--strategy=one"], "--virtual_devices=2 is for --strategy=mirrored"),
    ("--worker_timeout=9", [], "--strategy=auto"),
    ("--worker_timeout=9", ["--strategy=mirrored"], "--strategy=mirrored"),
    ("--sync_batch_norm", [TEXT], TEXT),
    ("--sync_batch_norm", ["--strategy=one"], "--strategy=one"),
    ("--steps_per_execution=2", [TEXT], TEXT),
    ("--final_student", [OWN], OWN),
    ("--final_student", [LABELS], LABELS),
    ("--augmentation_seed=1", [TEXT], TEXT),
    ("--augmentation_seed=1", [], "--augment=auto"),
    ("--analyse", [LABELS], LABELS),
]

# Where each of them does something.
AT_WORK = [
    ["--max_words=500", "--max_length=50", "--dataset=documents"],
    ["--max_gens=5", "--gens=auto"],
    ["--share_ends"],
    ["--share_ends", TEXT],
    ["--dropout=0"],
    ["--dropout=0.1", TEXT],
    ["--compression=0.5", "--bottleneck=false", "--final_transition", "--arch=densenet"],
    ["--remat", "--student_arch=densenet"],
    ["--data_dir=there", "--cache=disk", "--dataset=cifar10"],
    ["--validation_fraction=0.2", "--train_examples=100", "--augment=no"],
    ["--skip_bad_files", "--test_fraction=0.3", "--validation_fraction=0.2", CLASSES],
    ["--dataset=table:wine", "--target=hue", "--target_kind=number"],
    ["--dataset=table:wine", "--ignored_columns=hue", "--categorical_columns=ash"],
    ["--skip_bad_files", PARTS],
    ["--skip_bad_files", "--dataset=cifar10"],
    ["--recordings=r", LABELS, "--arch=keras:VGG16", "--freeze=backbone"],
    ["--image_size=24x32", "--resize=pad", "--cache=disk", PARTS],
    ["--image_size=32", "--resize=stretch", "--eval_batch_size=50"],
    ["--label_weight=0.5", "--temperature=2", "--objective=kd"],
    ["--label_weight=0", "--temperature=2", "--objective=dkd"],
    ["--label_smoothing=0.1", LABELS, "--teacher_from=teacher.keras"],
    ["--arch=keras:EfficientNetV2B0", "--weights=imagenet", "--freeze=until:3", "--dropout=0.2"],
    ["--arch=mine:build", "--backbone_learning_rate=0.1", "--weights=none", "--fresh=all"],
    ["--input=raw", "--teacher_input=caffe", "--teacher_from=teacher.keras"],
    ["--teacher_classes=classes.csv", "--teacher_from=teacher.keras"],
    ["--label_smoothing=0.1", KD],
    ["--label_smoothing=0.1", "--teacher_from=teacher.keras"],
    ["--tighten_epochs=1", "--activation_weight=1", "--mixup=0.2", "--cutmix=1"],
    ["--feature_weight=1", "--feature_layers=a:b,c:d", "--feature_loss=attention"],
    ["--teacher=ensemble", "--teacher_precision=float32", "--analyse", TEXT],
    ["--teacher=first", "--teacher_signal=online"],
    ["--teacher_signal=recorded", "--teacher_top=3", "--recordings=there"],
    ["--teacher_signal=recorded", "--teacher_top=3", "--recordings=there", "--final_student", TEXT],
    ["--teacher_from=teacher.keras", TEXT],
    ["--teacher_views=2", "--augmentation_seed=1", "--augment=yes"],
    ["--teacher_views=2", "--augmentation_seed=1", "--augment=strong"],
    ["--teacher_views=2", "--augmentation_seed=1", "--dataset=cifar10"],
    ["--recordings=there", "--teacher=first"],
    [
        *("--unlabelled=folder:classes", "--unlabelled_confidence=0.5"),
        *("--unlabelled_balance=5", "--teacher_signal=recorded"),
    ],
    ["--momentum=0.5", "--class_weight=balanced", "--monitor=val_balanced_accuracy"],
    ["--plateau_factor=0.5", "--plateau_threshold=1", "--unroll=20", TEXT],
    ["--jit=no", "--steps_per_execution=2", "--sync_batch_norm", "--virtual_devices=2"],
    ["--worker_timeout=9", "--strategy=multiworker"],
    ["--void_label=0", "--test_fraction=0.3", "--resize=pad", MASKED],
    ["--skip_void", "--validation_fraction=0.2", "--augment=strong", SHAPES],
    ["--final_student", "--strategy=one"],
    ["--gens=0", KD, "--temperature=2", "--teacher=ensemble", "--student_arch=wrn-10-1"],
]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    for file in ("teacher.keras", "classes.csv"):
        (tmp_path / file).write_text("")
    for name in ("a", "b"):
        for part in ("classes", "parts/train", "parts/valid", "parts/test"):
            (tmp_path / part / name).mkdir(parents=True)
            (tmp_path / part / name / "image.png").write_bytes(b"")
    for part in ("images", "masks"):
        (tmp_path / "masked" / part).mkdir(parents=True)
        for name in ("a.png", "b.png"):
            (tmp_path / "masked" / part / name).write_bytes(b"")
    own = Declaration("rows", "rows", "rows", "mine:Rows", networks={"dense": ()})
    own = dataclasses.replace(own, defaults={"arch": "dense"})
    monkeypatch.setitem(registry._registered, "rows", own)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TF_CONFIG", raising=False)


def _parse(*arguments):
    values = flags.FlagValues()
    options.define_flags(values)
    values(["ban-tf", *arguments])
    return options.from_flags(values)


def _name(argument):
    return argument.removeprefix("--").partition("=")[0]


@pytest.mark.parametrize(("flag", "beside", "named"), IDLE)
def test_a_flag_that_would_do_nothing_is_refused(flag, beside, named):
    with pytest.raises(options.OptionsError) as caught:
        _parse(*beside, flag)
    message = str(caught.value)
    assert message.startswith(f"--{_name(flag)}")
    assert named in message
    assert "\n" not in message


@pytest.mark.parametrize("arguments", AT_WORK)
def test_a_flag_that_does_something_is_accepted(arguments):
    parsed = _parse(*arguments)
    assert {_name(argument) for argument in arguments} <= set(parsed.effective())


def test_every_flag_has_a_line_in_the_table():
    assert set(idle.NEEDS) == {field.name for field in dataclasses.fields(options.Options)}


def test_every_need_is_tried_here():
    """A flag that is added to the table, or a need, has to be added to both lists above."""
    tried = set()
    for flag, beside, _ in IDLE:
        values = flags.FlagValues()
        options.define_flags(values)
        values(["ban-tf", *beside, flag])
        plain = {name: values[name].value for name in idle.NEEDS}
        if TEXT in beside and "--schedule" not in "".join(beside):
            plain["schedule"] = "plateau"
        found = idle.idle(options.Options(**plain), [_name(flag)])
        tried |= {(name, need) for name, need in found.items()}
    assert tried == {(name, need) for name, needs in idle.NEEDS.items() for need in needs}
    needy = {name for name, needs in idle.NEEDS.items() if needs}
    assert needy <= {_name(argument) for arguments in AT_WORK for argument in arguments}


def test_all_flags_that_do_nothing_are_named_at_once():
    with pytest.raises(options.OptionsError, match=r"--momentum=0\.5 .*--unroll=20 "):
        _parse("--optimizer=adam", "--momentum=0.5", "--unroll=20")


@pytest.mark.parametrize("arguments", [[], [TEXT], [LABELS], ["--optimizer=adam"]])
def test_defaults_are_never_refused(arguments):
    _parse(*arguments)


@pytest.mark.parametrize(
    "arguments",
    [[TEXT, "--final_student=false"], [LABELS, "--noanalyse"], [TEXT, "--nosync_batch_norm"]],
)
def test_a_switch_that_is_off_asks_for_nothing(arguments):
    _parse(*arguments)


def test_an_empty_value_takes_back_what_a_flagfile_set(tmp_path):
    (tmp_path / "all.cfg").write_text("--student_arch=wrn-10-1\n--data_dir=there\n")
    parsed = _parse("--flagfile=all.cfg", "--student_arch=", "--data_dir=")
    assert (parsed.student_arch, parsed.data_dir) == (None, None)
    assert parsed.architectures == ["wrn-16-1"]


@pytest.mark.parametrize("flag", ["teacher_from", "student_arch", "data_dir", "recordings"])
def test_an_empty_value_that_takes_nothing_back_is_refused(flag):
    with pytest.raises(options.OptionsError, match=f"--{flag} is empty, and no flagfile"):
        _parse(f"--{flag}=")


def test_a_student_that_always_shares_its_ends_refuses_a_flag_against_it():
    with pytest.raises(options.OptionsError, match="--share_ends=false"):
        _parse("--student_arch=resnet-wide-1-1@densenet-10-4", "--share_ends=false")


@pytest.mark.parametrize("arguments", [[], [TEXT, "--optimizer=adam"], [LABELS], *AT_WORK])
def test_the_flagfile_of_a_run_gives_the_run_again(arguments, tmp_path):
    wanted = _parse(*arguments, "--workdir=run")
    (tmp_path / "run.cfg").write_text(wanted.flagfile())
    assert _parse("--flagfile=run.cfg", "--workdir=run") == wanted


def test_the_flagfile_that_an_earlier_version_wrote_still_resumes_its_run(tmp_path):
    every = {**dataclasses.asdict(_parse("--optimizer=adam")), "max_gens": 7}
    lines = [
        idle.written(name, value)
        for name, value in every.items()
        if value is not None and name != "workdir"
    ]
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.cfg").write_text("\n".join(lines))
    assert _parse("--flagfile=run/run.cfg", "--workdir=run").momentum == 0.9
    with pytest.raises(options.OptionsError, match="--max_gens=7 does nothing with --gens=3"):
        _parse("--flagfile=run/run.cfg", "--workdir=another")
    with pytest.raises(options.OptionsError, match=r"--momentum=0\.5"):
        _parse("--flagfile=run/run.cfg", "--workdir=run", "--momentum=0.5")


def _commands():
    """What every row of the tables runs; see `experiments.study`."""
    for experiment in EXPERIMENTS.values():
        file = f"--flagfile=flags/{experiment.flagfile}.cfg"
        text = [TEXT] if "lstm" in experiment.flagfile else []  # whose own is not here
        if experiment.teacher:
            yield experiment.name, [f"--flagfile=flags/{experiment.teacher}.cfg", "--gens=0"]
        for run, further in experiment.runs.items():
            given = experiment.teacher and "--gens=0" not in further
            taught = ["--teacher_from=README.md"] if given else []
            yield f"{experiment.name}: {run}", [file, *further, *taught, *text]


@pytest.mark.parametrize(("name", "arguments"), [*_commands()])
def test_no_run_of_the_tables_sets_a_flag_that_does_nothing(name, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    _parse(*arguments, f"--workdir={tmp_path}")


PAPER = [name for name in EXPERIMENTS if name.startswith("table")]


@pytest.mark.parametrize("name", PAPER)
def test_each_column_of_the_paper_has_its_own_objective(name, tmp_path, monkeypatch):
    """BAN is knowledge distillation without labels, and BAN+L with them; text has BAN+L alone."""
    monkeypatch.chdir(ROOT)
    wanted = {"ban+l": "kd+labels", "cwtm": "cwtm", "dkpp": "dkpp"}
    experiment = EXPERIMENTS[name]
    for run, further in experiment.runs.items():
        text = [TEXT] if "lstm" in name else []
        file = f"--flagfile=flags/{experiment.flagfile}.cfg"
        parsed = _parse(file, *further, *text, f"--workdir={tmp_path}")
        if run != "baseline":  # a network without a teacher
            assert parsed.objective == wanted.get(run, "kd")


@pytest.mark.parametrize(
    ("main", "arguments", "message"),
    [
        (
            evaluate.main,
            ["run", "--dataset=digits", "--data_dir=there"],
            "--data_dir=there",
        ),
        (evaluate.main, ["run", "--dataset=folder:x", "--data_dir=there"], "for TFDS datasets"),
        (
            report_command.main,
            ["run", "--control=labels"],
            "--control=labels does nothing",
        ),
        (
            report_command.main,
            ["--output=there", "run"],
            "--output=there does nothing",
        ),
        (study_command.main, ["--list", "--seeds=2"], "--seeds=2 does nothing with --list"),
        (study_command.main, ["--list", "--show=quick/wrn"], "give --list, --show=ROW"),
        (study_command.main, ["quick/wrn", "--show=quick/wrn"], "give --list, --show=ROW"),
    ],
)
def test_the_other_commands_refuse_them_too(main, arguments, message, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
