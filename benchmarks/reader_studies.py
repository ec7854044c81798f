"""Type I error, coverage and power of the comparison of arms, in simulated reader studies.

Studies of the model of Roe & Metz (Acad. Radiol. 1997), analysed as real ones: without a difference
(type I error, coverage), and with one (coverage, power). An honest method has a type I error of 5 %
and a coverage of 95 %, which 8,000 studies tell to within 0.5 points, and 1,000 to within 1.4.

    python -m benchmarks.reader_studies
"""

import argparse
import time

from xemplar_evaluator.readers.power import Design, simulate_studies
from xemplar_evaluator.readers.roe_metz import STRUCTURES

AUC = 0.719
"""Where the structures' variation of readers is that of Roe & Metz's."""


def main() -> None:
    """Simulate, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--studies", type=int, default=8000)
    parser.add_argument("--structures", nargs="+", choices=STRUCTURES, default=list(STRUCTURES))
    parser.add_argument("--readers", type=int, default=6)
    parser.add_argument("--films", type=int, default=60, help="with, and as many without")
    parser.add_argument("--difference", type=float, default=0.06, help="of AUC, for the power")
    parser.add_argument("--method", choices=("jackknife", "DeLong"), default="jackknife")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    size = (arguments.readers, arguments.films, arguments.films)
    print(
        f"{arguments.studies:,} studies of {size[0]} readers and 2 x {size[1]} films, AUC {AUC}, "
        f"seed {arguments.seed}, {arguments.method}"
    )
    for name in arguments.structures:
        variances, began = STRUCTURES[name], time.process_time()
        null, real = (
            simulate_studies(
                Design(*size, AUC, AUC + difference, variances),
                arguments.studies,
                arguments.seed,
                arguments.method,
            )
            for difference in (0.0, arguments.difference)
        )
        spent = (time.process_time() - began) / (2 * arguments.studies)
        print(
            f"{name}  type I error {null.significant}  coverage {null.covered}  with a difference "
            f"of {arguments.difference}: coverage {real.covered}, power {real.significant}, half "
            f"width {real.half_width:.3f}  {spent * 1000:.1f} ms",
            flush=True,
        )


if __name__ == "__main__":
    main()
