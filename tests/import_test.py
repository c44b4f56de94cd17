"""What importing costs, and fields that somebody reads."""

import pathlib
import re
import subprocess
import sys

from jtransfer.config import Config
from jtransfer.config_check import field_names

ROOT = pathlib.Path(__file__).parent.parent
EVERYTHING = """
import importlib, pkgutil, sys, jtransfer
light = {'jax', 'tensorflow', 'torch', 'numpy'} & set(sys.modules)
for module in pkgutil.walk_packages(jtransfer.__path__, 'jtransfer.'):
    importlib.import_module(module.name)
print(sorted(light), sorted({'tensorflow', 'torch', 'tensorflow_datasets'} & set(sys.modules)))
from jax._src import xla_bridge
print(xla_bridge.backends_are_initialized())
"""


def test_importing_loads_nothing_heavy_and_starts_no_device():
    done = subprocess.run([sys.executable, '-c', EVERYTHING], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ['[] []', 'False']


def test_every_field_of_the_configuration_is_read_somewhere():
    files = [path for path in (ROOT / 'jtransfer').rglob('*.py') if path.name != 'config.py']
    text = '\n'.join(path.read_text() for path in files)
    unread = [name for name in field_names(Config()) if not re.search(rf'\b{name.rpartition(".")[2]}\b', text)]
    assert not unread
