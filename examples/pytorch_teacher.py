"""A network of PyTorch teaches one of Keras, by a recording made without TensorFlow.

Run as `python examples/pytorch_teacher.py`; `--dataset=cifar10 --examples=5000` takes CIFAR-10.
"""

import argparse
import subprocess
import sys

import numpy as np

import ban_tf

flags = argparse.ArgumentParser()
flags.add_argument("--dataset", default="digits")
for name in ("--data_dir", "--record"):  # the latter is for the process of the teacher
    flags.add_argument(name)
for name, default in (("--examples", None), ("--epochs", 10)):
    flags.add_argument(name, type=int, default=default)
given = flags.parse_args()

if given.record:
    import torch

    nn = torch.nn
    torch.manual_seed(0)
    images, labels = (np.load(given.record)[name] for name in ("images", "labels"))
    layers = [nn.Conv2d(images.shape[-1], 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()]
    layers += [nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU(), nn.AdaptiveMaxPool2d(2)]
    network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(256, 10))

    def logits(batch):  # [batch, height, width, channels], 0..255, as the student has them
        scaled = torch.from_numpy(batch.astype("float32") / 127.5 - 1)
        return network(scaled.permute(0, 3, 1, 2))

    optimizer = torch.optim.Adam(network.parameters())
    for _ in range(given.epochs):
        for rows in torch.randperm(len(images)).split(64):
            optimizer.zero_grad()
            wanted = torch.from_numpy(labels[rows])
            nn.functional.cross_entropy(logits(images[rows]), wanted).backward()
            optimizer.step()
    network.eval()
    ban_tf.record(torch.inference_mode()(logits), images, "recordings/pytorch")
    sys.exit("TensorFlow was imported." if "tensorflow" in sys.modules else 0)

data = ban_tf.datasets.load(given.dataset, data_dir=given.data_dir, train_examples=given.examples)
images, labels = data.train.images[:], data.train.labels.astype("int64")
np.savez("images.npz", images=images, labels=labels)
subprocess.run([sys.executable, __file__, *sys.argv[1:], "--record=images.npz"], check=True)
import keras  # noqa: E402

layers = [keras.layers.Rescaling(1 / 127.5, -1), keras.layers.Conv2D(16, 3, 2, activation="relu")]
layers = [keras.Input(data.input_shape), *layers, keras.layers.Flatten(), keras.layers.Dense(10)]
student = ban_tf.BornAgainModel(keras.Sequential(layers), "recording:recordings/pytorch")
student.compile("adam", metrics=["accuracy"])
student.fit(images, labels, epochs=given.epochs, verbose=0)
tested = student.evaluate(data.test.images, data.test.labels, verbose=0, return_dict=True)
print("accuracy on the test images:", tested["accuracy"])
