"""Convolution whose kernel gradient, in bfloat16 on CPUs, is a convolution itself.

oneDNN, which does the work for TensorFlow and PyTorch on CPUs, has good code for convolving in
bfloat16 with AVX-512 and for the gradient by the images, but its code for the gradient by the
kernel runs at a third to a half of that speed where feature maps are small. That gradient is the
sum over images, rows and columns of an input times an output gradient at a distance of up to the
kernel's size: the convolution of the inputs, their channels in place of the images, with the
output gradients as one large kernel. Said that way, it runs at the full speed.

Wide ResNets on 32x32 images spend the last third of their arithmetic on maps of 8x8. There
`python -m benchmarks.convolution` measures the gain. There is none in float32, for larger maps, for
few channels, for kernels of 1x1, with AMX, or on GPUs; there `Conv2D` is the stock layer.
"""

from __future__ import annotations

import functools
from typing import Any

import keras
from keras import ops

from ban_tf.layers.stand_in import StandIn, stands_in_for
from ban_tf.system import hardware

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

LARGEST_MAP = 64  # positions of the output
FEWEST_CHANNELS = 32


@stands_in_for(keras.layers.Conv2D)
class Conv2D(keras.layers.Conv2D, metaclass=StandIn):
    """`keras.layers.Conv2D` with a faster gradient by the kernel where possible.

    The arguments, weights and outputs are the stock layer's; so is the gradient by the kernel,
    up to the rounding of bfloat16.
    """

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Convolves `[batch, height, width, channels]`; see the class."""
        if not (self._suits(inputs) and hardware_suits()):
            return super().convolution_op(inputs, kernel)
        kernel = ops.cast(kernel, inputs.dtype)
        return convolve(inputs, kernel, self.strides, self.padding.upper())

    def _suits(self, inputs: Any) -> bool:
        batch, *size, channels = inputs.shape
        if self.data_format != "channels_last" or None in size:
            return False
        height, width = self.compute_output_shape((batch, *size, channels))[1:3]
        return (
            keras.backend.standardize_dtype(inputs.dtype) == "bfloat16"
            and height * width <= LARGEST_MAP
            and min(channels, self.filters) >= FEWEST_CHANNELS
            and self.kernel_size != (1, 1)
            and self.groups == 1
            and self.dilation_rate == (1, 1)
        )


@functools.cache
def hardware_suits() -> bool:
    """Returns whether the other gradient is faster on this hardware."""
    return (
        keras.backend.backend() == "tensorflow"
        and not tf.config.list_physical_devices("GPU")
        and from_processor(hardware.processor_flags())
    )


def from_processor(flags: set[str]) -> bool:
    """Decides by a processor's feature flags."""
    return "avx512_bf16" in flags and "amx_bf16" not in flags


def convolve(inputs: Any, kernel: Any, strides: tuple[int, int], padding: str) -> Any:
    """Convolves, with `kernel_gradient` instead of TensorFlow's gradient.

    Args:
        inputs: `[batch, height, width, channels]`.
        kernel: `[kernel height, kernel width, channels, filters]`.
        strides: Down and right.
        padding: "SAME" or "VALID".

    Returns:
        `[batch, output height, output width, filters]`.
    """

    @tf.custom_gradient
    def convolution(inputs: Any, kernel: Any) -> Any:
        outputs = tf.nn.conv2d(inputs, kernel, strides, padding)

        def gradients(upstream: Any) -> tuple[Any, Any]:
            by_inputs = tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(inputs),
                filter=kernel,
                out_backprop=upstream,
                strides=[1, *strides, 1],
                padding=padding,
            )
            by_kernel = kernel_gradient(inputs, upstream, kernel.shape[:2], strides, padding)
            return by_inputs, by_kernel

        return outputs, gradients

    return convolution(inputs, kernel)


def kernel_gradient(
    inputs: Any, upstream: Any, size: tuple[int, int], strides: tuple[int, int], padding: str
) -> Any:
    """Returns the result of `tf.raw_ops.Conv2DBackpropFilter`, computed by a convolution.

    Args:
        inputs: `[batch, height, width, channels]`, heights and widths known.
        upstream: The gradient by the outputs, `[batch, output height, output width, filters]`.
        size: Height and width of the kernel.
        strides: The strides of the convolution.
        padding: The padding of the convolution, "SAME" or "VALID".

    Returns:
        `[kernel height, kernel width, channels, filters]`.
    """
    pads = [[0, 0], [0, 0]]
    if padding == "SAME":
        pads = [
            _same_padding(*sizes)
            for sizes in zip(inputs.shape[1:3], upstream.shape[1:3], size, strides, strict=True)
        ]
    moved = tf.raw_ops.Conv2D(
        input=tf.transpose(inputs, [3, 1, 2, 0]),
        filter=tf.transpose(upstream, [1, 2, 0, 3]),
        strides=[1, 1, 1, 1],
        padding="EXPLICIT",
        explicit_paddings=[0, 0, *pads[0], *pads[1], 0, 0],
        dilations=[1, *strides, 1],
    )
    # Drops rows and columns that the strides skip at the end.
    return tf.transpose(moved[:, : size[0], : size[1]], [1, 2, 0, 3])


def _same_padding(inputs: int, outputs: int, size: int, stride: int) -> list[int]:
    """Returns the zeros before and after, as in TensorFlow."""
    total = max((outputs - 1) * stride + size - inputs, 0)
    return [total // 2, total - total // 2]
