"""`python -m ban_tf VERB`: the same as `ban-tf VERB`."""

from __future__ import annotations

import sys

from ban_tf.cli import verbs

if __name__ == "__main__":
    sys.exit(verbs.main(sys.argv[1:]))
