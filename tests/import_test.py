"""What importing costs, and fields that somebody reads."""

import ast
import pathlib
import re
import subprocess
import sys

from jtransfer.config import Config
from jtransfer.config.fields import field_names

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
    # The configuration states and checks its fields; what counts there is what it works out of them for others.
    room = ROOT / 'jtransfer' / 'config'
    files = [path for path in (ROOT / 'jtransfer').rglob('*.py') if room not in path.parents]
    text = '\n'.join(path.read_text() for path in files)
    derived = '\n'.join(path.read_text() for path in room.glob('*.py'))
    leaves = {name: name.rpartition('.')[2] for name in field_names(Config())}
    unread = [name for name, leaf in leaves.items() if not re.search(rf'\b{leaf}\b', text)]
    assert not [name for name in unread if f'self.{leaves[name]}' not in derived]


def test_every_text_file_is_read_and_written_in_an_encoding_that_is_stated():
    # The locale's own (ASCII, cp1252) would not read what another machine wrote.
    unstated = []
    for path in [*(ROOT / 'jtransfer').rglob('*.py'), *(ROOT / 'launch').glob('*.py')]:
        for call in (node for node in ast.walk(ast.parse(path.read_text('utf-8'))) if isinstance(node, ast.Call)):
            name = call.func.attr if isinstance(call.func, ast.Attribute) else ''
            name = call.func.id if isinstance(call.func, ast.Name) and call.func.id == 'open' else name
            mode = next((a.value for a in call.args if isinstance(a, ast.Constant) and a.value in ('w', 'a', 'r')), '')
            text = name in ('read_text', 'write_text') or (name in ('open', 'fdopen') and mode)
            if text and not any(keyword.arg == 'encoding' for keyword in call.keywords):
                unstated.append(f'{path.name}:{call.lineno}')
    assert not unstated
