"""Which tier a case of a test is in, see docs/tests.md."""

import pytest


def slow(*cases):
    """Cases that repeat what another one in the suite proves, over placements, families or moments: `-m slow`.

    Args:
        *cases: values of `pytest.mark.parametrize`; a tuple is one of several names.
    """
    return [pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow) for case in cases]
