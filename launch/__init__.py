"""Thin scripts: read the flags, call the library, print where the results are."""

import sys

from jtransfer import stopping

if sys.argv[:1] == ['-m']:  # as Python has it while it looks for the script: from here on a signal is one line
    stopping.listen()
