"""Facts about SigLIP's weights on the hub and in Google's bucket, for `make_published`."""

from __future__ import annotations

from collections.abc import Iterator

from tests.pretrained.published_facts import APACHE, Facts, of_hub, of_url, squashed
from tests.pretrained.published_hub import UNSEEN

_BUCKET = 'gs://big_vision'
_SOURCE = 'google-research/big_vision 0127fb6'

# Networks by how the files are called.
_ARCHITECTURES = {
    'b32': 'siglip_b32',
    'b16': 'siglip_b16',
    'l16': 'siglip_l16',
    'so400m': 'siglip_so400m14',
    'so400m14': 'siglip_so400m14',
    'so400m16': 'siglip_so400m16',
    'g-opt16': 'siglip_gopt16',
}
# Repositories whose list of files was seen.
_SEEN = (
    'siglip-so400m-patch14-224',
    'siglip-so400m-patch14-384',
    'siglip2-so400m-patch14-384',
    'siglip2-so400m-patch16-512',
)
_SIZES = {'b': 'base', 'l': 'large', 'so400m': 'so400m', 'g-opt': 'giant-opt'}

# Tower, side of the picture, number in the file's name ('': the bucket's file is not known), name and commit of the
# hub repository, and parameters of both towers, counted in transformers 4.57.6. Commits: embeddings-benchmark/mteb.
_FIRST = (
    ('b16', 224, '63724782', 'base-patch16-224', '7fd15f0689c79d79e38b1c2e2e2370a7bf2761ed', 203_155_970),
    ('b16', 256, '60500360', 'base-patch16-256', 'b078df89e446d623010d890864d4207fe6399f61', 203_202_050),
    ('b16', 384, '68578854', 'base-patch16-384', '41aec1c83b32e0a6fca20ad88ba058aa5b5ea394', 203_447_810),
    ('b16', 512, '68580893', 'base-patch16-512', '753a949581523b60257d93e18391e8c27f72eb22', 203_791_874),
    ('l16', 256, '60552751', 'large-patch16-256', 'd0da9f876e7d66b4e250cd2450c3ba2ce735e447', 652_150_786),
    ('l16', 384, '63634585', 'large-patch16-384', 'ce005573a40965dfd21fd937fbdeeebf2439fc35', 652_478_466),
    ('so400m', 224, '57633886', 'so400m-patch14-224', 'd04cf29fca7b6374f74d8bea1969314492266b5e', 877_415_602),
    ('so400m', 384, '58765454', 'so400m-patch14-384', '9fdffc58afc957d1a03a25b10dba0329ab15c2a3', 877_960_498),
)
_MULTILINGUAL = (
    ('b16', 256, '66117334', 'base-patch16-256-multilingual', '8952a4eafcde3cb7ab46b1dd629b33f8784ca9c6', 370_626_050),
    ('so400m16', 256, '', 'so400m-patch16-256-i18n', '365d321c0cfdea96bc28e3a29787a11a062681a1', 1_128_758_962),
)
_SECOND = (
    ('b32', 256, 376_856_066),
    ('b16', 224, 375_187_970),
    ('b16', 256, 375_234_050),
    ('b16', 384, 375_479_810),
    ('b16', 512, 375_823_874),
    ('l16', 256, 881_526_786),
    ('l16', 384, 881_854_466),
    ('l16', 512, 882_313_218),
    ('so400m14', 224, 1_135_463_602),
    ('so400m14', 384, 1_136_008_498),
    ('so400m16', 256, 1_135_670_962),
    ('so400m16', 384, 1_136_039_602),
    ('so400m16', 512, 1_136_555_698),
    ('g-opt16', 256, 1_871_393_906),
    ('g-opt16', 384, 1_871_885_426),
)


def huggingface() -> Iterator[Facts]:
    """The repositories on the hub. Those of the giant are in several files, and not here."""
    for rows, about in ((_FIRST, _about('SigLIP')), (_MULTILINGUAL, _about('SigLIP', 'in many languages'))):
        for tower, size, _, name, revision, values in rows:
            yield of_hub(
                f'google/siglip-{name}',
                architecture=_ARCHITECTURES[tower],
                naming='huggingface_siglip',
                revision=revision,
                bytes=4 * values,
                preprocessing=squashed(size, 'bicubic'),
                licence=APACHE,
                about=about,
                source=f'{_SOURCE}; embeddings-benchmark/mteb (commit); {_listed(f"siglip-{name}")}',
            )
    for tower, size, values in _SECOND:
        kind, patch = tower[:-2], tower[-2:]
        if kind != 'g-opt':
            name = f'siglip2-{_SIZES[kind]}-patch{patch}-{size}'
            yield of_hub(
                f'google/{name}',
                architecture=_ARCHITECTURES[tower],
                naming='huggingface_siglip',
                bytes=4 * values,
                preprocessing=squashed(size),
                licence=APACHE,
                about=_about('SigLIP 2', 'in many languages'),
                source=f'{_SOURCE}; {_listed(name)}',
            )


def google() -> Iterator[Facts]:
    """The files in the bucket. Which of them have their blocks in one array is not known: the names decide."""
    for rows, about, kind in (
        (_FIRST, _about('SigLIP'), 'webli_en'),
        (_MULTILINGUAL, _about('SigLIP', 'in many languages'), 'webli_i18n'),
    ):
        for tower, size, number, _, _, values in rows:
            if number:
                yield _file(f'siglip/{kind}_{tower}_{size}_{number}', tower, size, values, about)
    for tower, size, values in _SECOND:
        about = _about('SigLIP 2', 'in many languages')
        yield _file(f'siglip2/siglip2_{tower}_{size}', tower, size, values, about)


def _file(name: str, tower: str, size: int, values: int, about: str) -> Facts:
    return of_url(
        f'{_BUCKET}/{name}.npz',
        architecture=_ARCHITECTURES[tower],
        naming='',
        bytes=4 * values,
        preprocessing=squashed(size),
        licence=APACHE,
        about=about,
        source=_SOURCE,
    )


def _listed(name: str) -> str:
    return 'hub page' if name in _SEEN else UNSEEN


def _about(name: str, languages: str = 'in English') -> str:
    return f'{name} on WebLI {languages}: pictures with text'
