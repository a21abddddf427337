"""What XLA (`--jit`) and several steps at a time (`--steps_per_execution`) do for a step.

Run as `python -m benchmarks.execution`. Copies of one network train in turn, in one process, with
and without either. A small batch shows what Python costs between steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from benchmarks import measuring, training

AT_ONCE = 8


def measure(network: str, policy: str, steps: int, batch_size: int) -> dict[str, Any]:
    """Times one network in one precision; seconds of eight steps."""
    batches = training.repeated(training.random_batch(batch_size))

    def stepper(**arguments: Any) -> Callable[[Any], float]:
        return training.ban_tf_step(training.build(network, policy), **arguments)

    plain, compiled = stepper(), stepper(jit_compile=True)
    several = stepper(steps_per_execution=AT_ONCE)
    seconds = measuring.interleave(
        {
            "plain": lambda: [plain(batches) for _ in range(AT_ONCE)],
            "jit": lambda: [compiled(batches) for _ in range(AT_ONCE)],
            "several": lambda: several(batches),
        },
        steps,
    )
    return {
        "network": network,
        "precision": policy,
        "batch_size": batch_size,
        "steps": steps,
        "ratios": {name: measuring.compare(seconds, name, "plain") for name in ("jit", "several")},
    }


def main() -> None:
    """Runs the benchmark from the command line."""
    parser = measuring.parser(__doc__, steps=5)
    parser.add_argument("--networks", nargs="+", default=["wrn-16-1"], metavar="NAME")
    parser.add_argument("--precisions", nargs="+", default=["float32"], metavar="POLICY")
    parser.add_argument("--batch_sizes", nargs="+", type=int, default=[16, 128], metavar="N")
    arguments = parser.parse_args()
    results = []
    for network in arguments.networks:
        for policy in arguments.precisions:
            for batch_size in arguments.batch_sizes:
                result = measure(network, policy, arguments.steps, batch_size)
                ratios = result["ratios"]
                print(
                    f"{network} {policy}, batches of {batch_size}: with XLA "
                    f"{measuring.as_text(ratios['jit'])}, {AT_ONCE} steps at a time "
                    f"{measuring.as_text(ratios['several'])} of a plain step",
                    flush=True,
                )
                results.append(result)
                measuring.write(arguments.json, results)
                keras.backend.clear_session()


if __name__ == "__main__":
    main()
