"""What the gradient by the kernel costs, as TensorFlow has it and as a convolution.

Run as `python -m benchmarks.convolution`. In turn, in one process, for feature maps and channels
as networks have them. `ban_tf.layers.Conv2D` takes the convolution where the ratio is below one;
so this tells whether its rule fits another processor.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from ban_tf.layers import convolution
from benchmarks import measuring

# Rows and columns of the input, channels in and out, stride; kernels of 3x3.
SHAPES = (
    (32, 16, 16, 1),
    (32, 64, 64, 1),
    (16, 128, 128, 1),
    (16, 64, 128, 2),
    (16, 128, 256, 2),
    (8, 64, 64, 1),
    (8, 128, 128, 1),
    (8, 256, 256, 1),
    (7, 512, 512, 1),
    (4, 512, 512, 1),
)
KERNEL = (3, 3)


def measure(
    shape: tuple[int, int, int, int], dtype: str, steps: int, batch_size: int
) -> dict[str, Any]:
    """Times both ways for one shape; see `SHAPES`."""
    size, channels, filters, stride = shape
    images = tf.cast(tf.random.normal((batch_size, size, size, channels)), dtype)
    maps = (batch_size, size // stride, size // stride, filters)
    upstream = tf.cast(tf.random.normal(maps), dtype)
    strides = (stride, stride)

    @tf.function(jit_compile=False)
    def stock() -> tf.Tensor:
        return tf.raw_ops.Conv2DBackpropFilter(
            input=images,
            filter_sizes=[*KERNEL, channels, filters],
            out_backprop=upstream,
            strides=[1, *strides, 1],
            padding="SAME",
        )

    @tf.function(jit_compile=False)
    def ours() -> tf.Tensor:
        return convolution.kernel_gradient(images, upstream, KERNEL, strides, "SAME")

    seconds = measuring.interleave(
        {"convolution": lambda: ours().numpy(), "tensorflow": lambda: stock().numpy()}, steps
    )
    return {
        "shape": shape,
        "dtype": dtype,
        "batch_size": batch_size,
        "ratio": measuring.compare(seconds, "convolution", "tensorflow"),
    }


def main() -> None:
    """Runs the benchmark from the command line."""
    parser = measuring.parser(__doc__, steps=15, batch_size=128)
    parser.add_argument("--dtypes", nargs="+", default=["bfloat16"], metavar="DTYPE")
    arguments = parser.parse_args()
    results = []
    for dtype in arguments.dtypes:
        for shape in SHAPES:
            result = measure(shape, dtype, arguments.steps, arguments.batch_size)
            size, channels, filters, stride = shape
            print(
                f"{dtype} {size}x{size}, {channels} to {filters} channels, stride {stride}: "
                f"{measuring.as_text(result['ratio'])}",
                flush=True,
            )
            results.append(result)
    measuring.write(arguments.json, results)


if __name__ == "__main__":
    main()
