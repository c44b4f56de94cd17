"""Writes the tables of published weights, jtransfer/pretrained/published/*.tsv.

    python -m tests.pretrained.make_published

Needs the `parity` extra. timm's and torchvision's facts are read from the installed packages, timm's accuracies from
timm_results.tsv (results/results-imagenet.csv of pytorch-image-models at the commits that stand there), everything
else from the modules `published_*` beside this one. Parameters are counted in our networks; `catalogue_test` in
tests/parity compares them with the references'.
"""

from __future__ import annotations

import csv
import functools
import importlib.resources
import json
import pathlib
import re
from collections.abc import Iterable, Iterator
from typing import Any

from jtransfer import models
from jtransfer.errors import UserError
from jtransfer.inputs.image import ImagePreprocessor
from jtransfer.models import cost
from jtransfer.models.variant import HALF
from jtransfer.pretrained.catalogue.entries import ARCHITECTURE_CLASSES, COLUMNS, NORMS, Entry
from jtransfer.pretrained.names import namings
from jtransfer.pretrained.timm.names import architecture_of, preprocessing_of
from tests.golden.reference import import_timm, import_torchvision
from tests.pretrained import published_facts, published_google, published_hub, published_siglip
from tests.pretrained.published_about import about_timm
from tests.pretrained.published_facts import Facts
from tests.pretrained.published_row import table_row

PACKAGE = pathlib.Path(str(importlib.resources.files('jtransfer.pretrained')))
RESULTS = pathlib.Path(__file__).with_name('timm_results.tsv')

# torchvision's names of networks that are called otherwise here.
_TORCHVISION = {'mobilenet_v2': 'mobilenetv2_100'}
# timm's architectures of the same weights without their attention pooling, and weights of unknown licence.
_LEFT_OUT = re.compile(r'.*_gap_\d+\..*|.*\.bamboo|convnext_.*\.(clip|dinov3|eupe)_.*')


def main() -> None:
    """Writes all tables, sorted by name."""
    of_timm = list(timm_hub())
    tables = {
        'shipped': shipped(),
        'timm': of_timm,
        'huggingface': (*published_hub.huggingface(), *published_siglip.huggingface()),
        'torchvision': torchvision_files(),
        'google': (*published_google.google(), *published_siglip.google()),
        'facebook': (*published_facts.facebook(), *facebook_convnext(of_timm)),
        'github': published_facts.github(),
    }
    for table, facts in tables.items():
        write(table, facts)
    write_architectures()


def write(table: str, facts: Iterable[Facts]) -> None:
    """Completes the facts and writes a table."""
    rows = sorted((completed(**given) for given in facts), key=lambda entry: entry.name)
    path = PACKAGE / 'published' / f'{table}.tsv'
    path.write_text('\n'.join(['\t'.join(COLUMNS), *map(table_row, rows)]) + '\n', encoding='utf-8')
    print(f'{path.name}: {len(rows)}')


def write_architectures() -> None:
    """Writes how many parameters every architecture has, with a head of a thousand classes."""
    lines = ['architecture\tparameters']
    for name in models.variant_names():
        shape = models.describe(name).preprocessing.shape
        lines.append(f'{name}\t{counted(name, "{}", ARCHITECTURE_CLASSES, shape)[0]}')
    (PACKAGE / 'published' / 'architectures.tsv').write_text('\n'.join(lines) + '\n', encoding='utf-8')


def completed(**facts: Any) -> Entry:
    """The entry, its parameters counted and what is not given filled in."""
    facts = {'options': {}, 'repo': '', 'revision': '', 'sha256': '', 'num_classes': 0, **facts}
    facts = {'accuracy': None, 'accuracy_size': None, **facts}
    extra = facts.pop('extra_values', 0)
    parameters, statistics = counted(
        facts['architecture'], json.dumps(facts['options']), facts['num_classes'], facts['preprocessing'].shape
    )
    return Entry(**{'bytes': 4 * (parameters + statistics + extra), **facts, 'parameters': parameters})


@functools.cache
def counted(architecture: str, options: str, classes: int, shape: tuple[int, int]) -> tuple[int, int]:
    """Parameters and running statistics of a network."""
    network = models.create(architecture, num_classes=classes, image_size=shape, options=json.loads(options))
    backbone, head, statistics = cost.count(network, ImagePreprocessor(shape[0], image_width=shape[1]).spec())
    return backbone + head, statistics


def shipped() -> Iterator[Facts]:
    """The networks in the package, by their records."""
    for path in sorted((PACKAGE / 'weights').glob('*.json')):
        record = json.loads(path.read_text())
        yield {
            'name': f'jtransfer/{path.stem}',
            'file': f'{path.stem}.safetensors',
            'architecture': record['architecture'],
            'naming': 'jtransfer',
            'num_classes': record['classes'],
            'preprocessing': models.describe(record['architecture']).preprocessing,
            'licence': published_facts.APACHE,
            'about': 'letters and digits rendered from fonts; made by this project',
            'source': f'{path.name}, the record of its making',
        }


def timm_hub() -> Iterator[Facts]:
    """Repositories of timm whose architecture is here."""
    timm = import_timm()
    with open(RESULTS, newline='') as file:
        results = list(csv.DictReader(file, delimiter='\t'))
    for name in timm.list_models(pretrained=True):
        timm_name, _, tag = name.partition('.')
        config = timm.get_pretrained_cfg(name).to_dict()
        norm = (tuple(config['mean']), tuple(config['std']))
        try:
            architecture, options = architecture_of(timm_name)
        except UserError:
            continue
        if _LEFT_OUT.fullmatch(name) or not config['hf_hub_id'] or norm not in NORMS.values():
            continue
        preprocessing = preprocessing_of(config)
        measured = [row for row in results if row['weights'] == name]
        # At the size of the preprocessing where there is such a number.
        measured.sort(key=lambda row: int(row['image_size']) != preprocessing.image_size)
        source = f'timm {timm.__version__} pretrained_cfg'
        if measured:
            source += f'; results-imagenet.csv {measured[0]["commit"]} (accuracy)'
        yield {
            'name': f'timm/{name}',
            'repo': config['hf_hub_id'],
            'file': 'model.safetensors',
            'architecture': architecture,
            'options': options,
            'naming': 'timm',
            'num_classes': config['num_classes'],
            'preprocessing': preprocessing,
            'licence': config['license'],
            'accuracy': float(measured[0]['top1']) if measured else None,
            'accuracy_size': int(measured[0]['image_size']) if measured else None,
            'about': about_timm(timm_name, tag),
            'source': source,
        }


def torchvision_files() -> Iterator[Facts]:
    """torchvision's files of the networks that are here."""
    torchvision = import_torchvision()
    for name in torchvision.models.list_models(module=torchvision.models):
        architecture, naming = _TORCHVISION.get(name, name), _torchvision_naming(_TORCHVISION.get(name, name))
        if not naming:
            continue
        for weights in torchvision.models.get_model_weights(name):
            # Without a classifier, and normalised as nothing else is.
            if weights.name == 'IMAGENET1K_FEATURES':
                continue
            how = weights.transforms()
            [size], [resized] = how.crop_size, how.resize_size
            # GoogLeNet's transform_input: it was trained with values in [-1, 1].
            mean, std = (HALF, HALF) if name == 'googlenet' else (tuple(how.mean), tuple(how.std))
            yield {
                'name': f'torchvision/{name}.{weights.name}',
                'file': weights.url,
                'architecture': architecture,
                'naming': naming,
                'sha256': weights.url.rpartition('-')[2].removesuffix('.pth'),
                'num_classes': published_facts.IMAGENET_CLASSES,
                'bytes': round(weights.meta['_file_size'] * 2**20),
                'preprocessing': ImagePreprocessor(size, mean, std, how.interpolation.value, fraction(size, resized)),
                'licence': 'bsd-3-clause',
                'accuracy': weights.meta['_metrics']['ImageNet-1K']['acc@1'],
                'accuracy_size': size,
                'about': 'ImageNet-1k' + (', newer recipe' if weights.name.endswith('V2') else ''),
                'source': f'torchvision {torchvision.__version__.partition("+")[0]} weight metadata',
            }


def _torchvision_naming(architecture: str) -> str:
    """The name map of torchvision's file, '' where there is none."""
    if architecture not in models.variant_names():
        return ''
    family = models.describe(architecture).family
    known = [naming.name for naming in namings(family, models.create(architecture, num_classes=1).backbone)]
    # timm took its names of ResNets from torchvision.
    return 'torchvision' if 'torchvision' in known else 'timm' if family == 'resnet' else ''


def facebook_convnext(timm_rows: Iterable[Facts]) -> Iterator[Facts]:
    """The authors' files of ConvNeXt, which timm's configurations name."""
    timm = import_timm()
    for row in timm_rows:
        url = timm.get_pretrained_cfg(row['name'].removeprefix('timm/')).url
        # Those of masked autoencoding hold sparse convolutions.
        if url and '/convnext/' in url and '_fcmae' not in url:
            given = {key: value for key, value in row.items() if key not in ('name', 'repo', 'file', 'naming')}
            source = row['source'].replace('(accuracy)', '(accuracy, of the converted weights)')
            yield published_facts.of_url(url, naming='facebook', **{**given, 'source': source})


def fraction(size: int, resized: int) -> float:
    """The share of the shorter side that the crop keeps, in three digits if that gives the same pixels."""
    return next(f for f in (round(size / resized, 3), round(size / resized, 4)) if int(size / f) == resized)


if __name__ == '__main__':
    main()
