"""What each flag does, in words; `--help` shows them."""

from __future__ import annotations

import textwrap

from absl import flags

from ban_tf.objectives import names as objective_names

HELP = {
    "gens": "Born-again generations after generation 0; auto goes on until one is no better than "
    "the one before it on validation data, beyond its 95 % interval.",
    "max_gens": "How many generations auto may train.",
    "arch": "Architecture: wrn-DEPTH-WIDTH (wrn alone is wrn-16-1), densenet-DEPTH-GROWTH, on text "
    "lstm-LAYERS-UNITS or cnn-lstm-LAYERS-UNITS, or package.module:function.",
    "student_arch": "Architecture of the born-again generations, if it is another one: also "
    "densenet-90-60@depth=2 (or @compression=0.5) and resnet-wide-UNITS-RATIO@densenet-90-60 (or "
    "resnet-bottleneck-...), which have the shapes of that DenseNet.",
    "share_ends": "Give students the first and the last layer of their teacher, frozen; "
    "resnet-...@densenet-... always has them.",
    "dropout": "Dropout inside residual blocks, after the convolutions of a DenseNet, or between "
    "the layers of a language model.",
    "compression": "Share of its channels that a DenseNet keeps after a block; 0.5 by default.",
    "bottleneck": "Whether a DenseNet has 1x1 convolutions before its 3x3 ones; it has.",
    "final_transition": "Whether a DenseNet compresses its last block too, as the paper's counts "
    "tell; it does not.",
    "remat": "Whether a DenseNet computes anew in the backward pass instead of keeping in memory: "
    "slower, in about two thirds of the memory.",
    "dataset": "digits (embedded), a TFDS data set such as cifar10, folder:PATH with images, text "
    "(embedded), or text:PATH, a folder with *.train.txt, *.valid.txt and *.test.txt or one file.",
    "data_dir": "Where TFDS data sets are kept.",
    "validation_fraction": "Share of the training data that is held out for validation.",
    "train_examples": "Use the first N training examples only.",
    "cache": "Where decoded images of TFDS data sets are kept: memory, disk (beside the data), or "
    "auto, on disk if they would fill half of the memory.",
    "augment": "Random crops and flips: auto (the data set's custom), yes or no.",
    "objective": "What born-again generations learn from: "
    + ", ".join(objective_names.OF_CLASSES)
    + "; +labels adds the label term; package.module:function is your own. The default is the "
    "teacher's outputs beside the labels; the paper's BAN is kd.",
    "label_weight": "Weight of the label term; by default what the objective says.",
    "label_smoothing": "Smoothing of the labels, wherever labels are learnt from.",
    "temperature": "Temperature of the objective; its gradients are scaled by its square.",
    "tighten_epochs": "Pass from the labels to the teacher within the first N epochs.",
    "activation_weight": "Weight of the squared difference between the activations of teacher and "
    "student, at the end of each resolution.",
    "mixup": "Blend each example with another one, by shares from Beta(N, N), before teacher and "
    "student see it.",
    "teacher": "Who teaches: previous, ensemble (all before, averaged) or first.",
    "teacher_from": "A trained .keras model to be generation 0.",
    "teacher_signal": "Whether the teacher is asked in each step (online) or its outputs are "
    "recorded beforehand (recorded); auto records where that saves time, changes nothing and the "
    "disk has room.",
    "teacher_precision": "What the teacher computes in while a student learns from it: as the "
    "student (same), the fastest for this machine (auto), or one of those of --precision. Unless "
    "it is the same, its batch normalisation is folded into its convolutions.",
    "teacher_views": "How many different crops and flips of each image born-again students see: "
    "view e modulo N in epoch e; by default as many as epochs. Fewer are cheaper to record.",
    "teacher_top": "Record the N most likely classes and spread the rest evenly; all by default.",
    "recordings": "Where recorded teachers are kept, for all runs that can use them; "
    "runs/recordings by default, or recordings in --workdir.",
    "ensemble_average": "What ensembles average: probabilities or logits.",
    "epochs": "Epochs of each generation.",
    "batch_size": "Examples in a step, those of all replicas together.",
    "optimizer": "sgd (Nesterov, decay joined to the gradient), or one of Keras's own by its name.",
    "learning_rate": "Peak learning rate.",
    "momentum": "Momentum of sgd.",
    "weight_decay": "Decay of the kernels.",
    "schedule": "Learning rate over time: step, cosine, constant, or for text plateau.",
    "warmup_epochs": "Epochs in which the learning rate rises.",
    "plateau_factor": "What plateau multiplies by when validation perplexity does not fall.",
    "plateau_threshold": "By how much perplexity has to fall for plateau.",
    "unroll": "Steps of text in a batch, through which gradients go back.",
    "clip_norm": "Bound on the norm of the gradient.",
    "checkpoint": "Which weights a generation keeps: last, or best by validation.",
    "checkpoint_steps": "Save every so many steps, besides at the end of each epoch.",
    "on_divergence": "When a loss is no longer finite: stop, or retry once from the last "
    "checkpoint at a tenth of the learning rate.",
    "precision": "float32, mixed_bfloat16, mixed_float16, or auto: bfloat16 where it is fast.",
    "jit": "Compile the training step with XLA: yes, no, or auto, on GPUs only.",
    "strategy": "What trains: one device; mirrored, all GPUs of this machine, or the "
    "--virtual_devices; multiworker, the processes that TF_CONFIG or Slurm name; or auto, which "
    "takes what is there.",
    "virtual_devices": "Split the processor into N devices, to try out mirrored.",
    "worker_timeout": "Seconds that workers wait for each other to start.",
    "sync_batch_norm": "Normalise by the statistics of the whole batch, not of each replica's "
    "share.",
    "steps_per_execution": "Steps that TensorFlow takes at a time; must divide those of an epoch. "
    "By default 1, and up to 10 on GPUs.",
    "deterministic": "Make every operation deterministic.",
    "seed": "Where all randomness comes from.",
    "final_student": "Distil the ensemble of the born-again generations into one more student.",
    "seeds": "Repeat the lineage from so many seeds, --seed and those after it, and compare.",
    "augmentation_seed": "Where crops and flips come from, if not from --seed; runs that have one "
    "teacher and one augmentation seed share its recording.",
    "workdir": "Where the run is kept; runs/<dataset>-<arch>-<objective>-<seed> by default.",
    "analyse": "Take the gradient of distillation apart after each epoch: analysis.png.",
    "progress": "auto (a bar on a terminal), lines or none.",
    "tensorflow_log": "Show TensorFlow's own messages.",
    "profile": "Record the graph and a profile of a few steps of each generation for TensorBoard, "
    "which shows profiles with pip install tensorboard-plugin-profile.",
}

# Above which flag each heading stands.
_HEADINGS = {
    "gens": "Generations",
    "arch": "Networks",
    "dataset": "Data",
    "objective": "What students match",
    "teacher": "Teachers",
    "epochs": "Training",
    "checkpoint": "Keeping and resuming",
    "precision": "Speed",
    "seed": "Randomness and repetition",
    "workdir": "The run, and what is seen of it",
}

_USAGE = """\
ban-tf train [--flag=value ...]          (or: python -m ban_tf.main)

Trains a network on labels (generation 0), then fresh copies of it, each on what those before it
believe, and averages them. The same command goes on with a run that was interrupted.

  ban-tf train --gens=3 --arch=wrn                  # offline, two minutes on two CPU cores
  ban-tf train --dataset=cifar10 --data_dir=PATH --batch_size=128 --epochs=200
  ban-tf train --flagfile=flags/cifar100/wrn_28_10.cfg

Exit codes: 0 when all is done, 1 when training failed, 2 for input that cannot be used, 130 and 143
when interrupted. ban-tf --help lists the other commands.
"""


def usage(values: flags.FlagValues) -> str:
    """Returns what `--help` shows: every flag under its heading, with its default.

    Args:
        values: Among which the flags are defined.
    """
    lines = [_USAGE]
    for name, text in HELP.items():
        if name in _HEADINGS:
            lines += [f"{_HEADINGS[name]}:" if name == "gens" else f"\n{_HEADINGS[name]}:"]
        default = values[name].default
        is_set = default not in (None, False)
        words = f"{text} [{default}]" if is_set else text
        lines += textwrap.wrap(
            words, 98, initial_indent=f"  --{name:<21}", subsequent_indent=" " * 25
        )
    lines += [
        "  --flagfile=FILE        Take flags from a file.   --helpfull lists absl's own, too."
    ]
    return "\n".join(lines)
