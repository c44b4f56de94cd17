"""Crafted data and records: tables, pictures, the files of runs and ensembles."""

from __future__ import annotations

import csv
import io
import json
import os
import pathlib
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.hostile_networks import ordinary_arrays
from benchmarks.hostile_values import Action, mangled
from jtransfer.config import Config, Data, to_dict
from jtransfer.data.parts import load_parts
from jtransfer.experiments.predict.ensemble import members_of
from jtransfer.experiments.run.directory import read_config, read_result
from jtransfer.pretrained.files.safetensors import write_safetensors


def ensemble(random: np.random.Generator, folder: pathlib.Path) -> Action:
    """The list of an ensemble's members."""
    record = {'format': 'jtransfer-ensemble/1', 'average': 'probabilities', 'members': ['../fold-0', '../fold-1']}
    (folder / 'ensemble.json').write_text(mangled(random, record), 'utf-8')
    return lambda: members_of(folder)


def run_directory(random: np.random.Generator, folder: pathlib.Path) -> Action:
    """The records of a run."""
    write_safetensors(folder / 'model.safetensors', ordinary_arrays(), {})
    config = json.dumps(to_dict(Config()))
    way = random.integers(2)
    (folder / 'config.json').write_text(mangled(random, json.loads(config)) if way else config, 'utf-8')
    result = {'score': 0.5, 'metrics': {'accuracy': 0.5}, 'steps': 3}
    (folder / 'result.json').write_text(json.dumps(result) if way else mangled(random, result), 'utf-8')
    return lambda: (read_config(folder), read_result(folder))


def _picture(random: np.random.Generator) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).save(buffer, 'PNG')
    return buffer.getvalue()


def table(random: np.random.Generator, folder: pathlib.Path) -> Action:
    """A table of pictures: cells, paths and bytes that are none."""
    for index in range(4):
        (folder / f'{index}.png').write_bytes(_picture(random))
    rows = [[f'{index}.png', ('ant', 'bee')[index % 2]] for index in range(4)]
    strange = ['', '\0', '\x1b[31m', '=cmd()', 'x' * 200_000, 'é', '\ud800', '/dev/zero', '.', '"', 'NaN', '9' * 5000]
    if random.random() < 0.8:
        rows[random.integers(4)][random.integers(2)] = strange[random.integers(len(strange))]
    text = io.StringIO()
    csv.writer(text).writerows([['image', 'label'], *rows])
    content = bytearray(text.getvalue().encode('utf-8', 'surrogatepass'))
    if random.random() < 0.3:
        content[random.integers(len(content))] = (0, 255, 34, 10)[random.integers(4)]
    (folder / 'table.csv').write_bytes(content)
    data = Data(source=f'csv:{folder / "table.csv"}', test_fraction=0.0, batch_size=1, cache=False)
    return lambda: load_parts(data, 0)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content))


def picture(random: np.random.Generator, folder: pathlib.Path) -> Action:
    """A folder of pictures, one of which is a bomb, a pipe, a link or damaged."""
    for name in ('ant', 'bee'):
        (folder / name).mkdir()
        for index in range(3):
            (folder / name / f'{index}.png').write_bytes(_picture(random))
    odd, way = folder / 'ant' / 'odd.png', random.integers(6)
    if way == 0:
        os.mkfifo(odd)
    elif way == 1:
        odd.symlink_to('/dev/zero')
    elif way == 2:
        size = struct.pack('>IIBBBBB', *((100_000_000, 1), (60_000, 60_000))[random.integers(2)], 8, 2, 0, 0, 0)
        odd.write_bytes(b'\x89PNG\r\n\x1a\n' + _chunk(b'IHDR', size) + _chunk(b'IDAT', zlib.compress(bytes(1000))))
    else:
        data = bytearray(_picture(random))
        for _ in range(int(way)):
            data[random.integers(len(data))] ^= 1 << random.integers(8)
        odd.write_bytes(data)
    skip = bool(random.integers(2))

    def read() -> Any:
        data = Data(source=f'folder:{folder}', test_fraction=0.0, batch_size=1, cache=False, skip_unreadable=skip)
        parts = load_parts(data, 0)
        return [parts.train.source[index] for index in range(len(parts.train.source))]

    return read
