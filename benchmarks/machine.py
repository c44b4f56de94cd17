"""What a measurement was made on and with."""

import datetime
import os
import pathlib
import platform
from importlib import metadata


def circumstances(command: str) -> dict[str, object]:
    """Command, date, machine and versions, for the record of a benchmark."""
    return {
        'command': command,
        'date': datetime.date.today().isoformat(),
        'machine': f'{os.cpu_count()} cores, {platform.machine()}, {_processor()}',
        'versions': {name: metadata.version(name) for name in ('jax', 'flax', 'optax', 'orbax-checkpoint')},
        'python': platform.python_version(),
    }


def _processor() -> str:
    info = pathlib.Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(':')[1].strip() for line in lines if line.startswith('model name')), platform.processor())
