"""`python -m ban_tf.main --gens=3 --arch=wrn`: the same as `ban-tf train --gens=3 --arch=wrn`."""

from __future__ import annotations

import sys

from ban_tf.cli import train

if __name__ == "__main__":
    train.main(sys.argv[1:])
