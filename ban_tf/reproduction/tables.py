"""What Furlanello et al., 2018, trained, and what came out: Tables 1 to 6.

A row of a table is an `Experiment`: a flagfile with all settings, the runs that its columns need,
and for each column the paper's figure and where ours is found. Figures are test errors in per
cent, or perplexities. Teachers are trained once and shared by the rows that learn from them.
"""

from __future__ import annotations

from ban_tf.reproduction import columns, evidence, quick
from ban_tf.reproduction.experiment import Column, Experiment


def _table1() -> list[Experiment]:
    rows = {
        "wrn-28-1": (0.38, 6.69, 6.64),
        "wrn-28-2": (1.48, 5.06, 4.86),
        "wrn-28-5": (9.16, 4.13, 4.03),
        "wrn-28-10": (36, 3.77, 3.86),
        "densenet-112-33": (6.3, 3.84, 3.61),
        "densenet-90-60": (16.1, 3.81, 3.50),
        "densenet-80-80": (22.4, 3.48, 3.49),
        "densenet-80-120": (50.4, 3.37, 3.54),
    }
    return [
        Experiment(
            f"table1/{network}",
            f"cifar10/{columns.flagfile(network)}",
            {"ban": ()},
            columns.pair(teacher, ban),
            millions=millions,
        )
        for network, (millions, teacher, ban) in rows.items()
    ]


def _table2() -> list[Experiment]:
    rows = {
        "densenet-112-33": (18.25, 16.95, 17.68, 17.84, 17.84, 17.61, 17.22, 16.59, 15.77, 15.68),
        "densenet-90-60": (17.69, 16.69, 16.93, 17.42, 17.43, 16.62, 16.44, 16.72, 15.39, 15.74),
        "densenet-80-80": (17.16, 16.36, 16.50, 17.16, 16.84, 16.26, 16.30, 15.50, 15.46, 15.14),
        "densenet-80-120": (16.87, 16.00, 16.41, 17.12, 16.34, 16.13, 16.13, None, 15.13, 14.90),
    }
    return [
        Experiment(
            f"table2/{network}",
            f"cifar100/{columns.flagfile(network)}",
            columns.TABLE_2_RUNS,
            # The paper has no third generation of the largest: its ensemble takes in the teacher.
            columns.table_2(
                figures, "ensemble 0-2" if network == "densenet-80-120" else "ensemble 1-3"
            ),
            teacher=f"cifar100/{columns.flagfile(network)}",
        )
        for network, figures in rows.items()
    ]


def _table3() -> list[Experiment]:
    rows = {
        "wrn-28-1": (30.05, 29.43, 24.93),
        "wrn-28-2": (25.32, 24.38, 18.49),
        "wrn-28-5": (20.88, 20.93, 17.52),
        "wrn-28-10": (19.08, 18.25, 16.79),
    }
    return [
        Experiment(
            f"table3/{network}",
            f"cifar100/{columns.flagfile(network)}",
            {
                "ban": (),
                # Dropout, which the flagfile sets, is for the wide ResNets alone.
                "dense-90-60": (
                    "--student_arch=densenet-90-60",
                    "--final_transition",
                    "--dropout=0",
                ),
            },
            (
                Column("Teacher", teacher, "teacher", "generation 0"),
                Column("BAN", ban, "ban", "generation 1"),
                Column("Dense-90-60", dense, "dense-90-60", "generation 1"),
            ),
            teacher=f"cifar100/{columns.flagfile(network)}",
        )
        for network, (teacher, ban, dense) in rows.items()
    ]


def _table4() -> list[Experiment]:
    rows = {
        "depth=0.5": (21.2, 16.95),
        "depth=2": (13.7, 16.43),
        "depth=3": (12.9, 16.64),
        "depth=4": (12.6, 16.64),
        "compression=0.5": (5.1, 19.83),
        "compression=0.75": (10.1, 17.3),
        "compression=1.5": (80.5, 18.89),
    }
    return [
        Experiment(
            f"table4/{factor.replace('=', '-')}",
            f"cifar100/{columns.flagfile(f'densenet-90-60@{factor}')}",
            {"ban": ()},
            (
                Column("Teacher", 17.69, "teacher", "generation 0"),
                Column("BAN", ban, "ban", "generation 1"),
            ),
            teacher="cifar100/densenet_90_60",
            millions=millions,
        )
        for factor, (millions, ban) in rows.items()
    ]


def _table5() -> list[Experiment]:
    rows = {
        "bottleneck-14-0.5": (7.3, 20.28, 18.80),
        "bottleneck-14-1": (17.7, 18.84, 17.39),
        "wide-1-1": (20.9, 20.40, 19.12),
        "wide-2-1": (43.1, 18.83, 17.42),
        "wide-4-0.5": (24.3, 19.63, 17.13),
        "wide-4-1": (87.3, 18.77, 17.18),
    }
    return [
        Experiment(
            f"table5/{network}",
            f"cifar100/{columns.flagfile(f'resnet-{network}')}",
            {
                "baseline": ("--gens=0", f"--arch=resnet-{network}@densenet-90-60"),
                "ban": (),
            },
            (
                Column("Baseline", baseline, "baseline", "generation 0"),
                Column("BAN", ban, "ban", "generation 1"),
            ),
            teacher="cifar100/densenet_90_60",
            millions=millions,
        )
        for network, (millions, baseline, ban) in rows.items()
    ]


def _table6() -> list[Experiment]:
    rows = {
        "cnn-lstm": (19, 83.69, 80.27, 80.05, 76.97),
        "lstm": (52, 75.11, 71.19, 71.87, 68.56),
    }
    return [
        Experiment(
            f"table6/{network}",
            f"ptb/{columns.flagfile(network)}",
            {"ban+l": ()},
            columns.language(*figures),
            millions=millions,
        )
        for network, (millions, *figures) in rows.items()
    ]


EXPERIMENTS = {
    experiment.name: experiment
    for table in (
        _table1,
        _table2,
        _table3,
        _table4,
        _table5,
        _table6,
        quick.experiments,
        evidence.experiments,
    )
    for experiment in table()
}
