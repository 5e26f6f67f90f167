"""How many examples a property test tries: few in `make test`, many times as many in `make soak`."""

import os

VARIABLE = "TEST_EXAMPLES_TIMES"


def examples(number: int) -> int:
    return number * int(os.environ.get(VARIABLE, "1"))
