"""Rooms that serve every kind of input do not speak of images: what they say must be true of a text, too."""

import pathlib
import re

import pytest

LIBRARY = pathlib.Path(__file__).parent.parent / 'jtransfer'
# Of whatever a network reads. `inputs/image*`, `augment/`, families, files of weights, sources, decoding and duplicates
# of images are about images, and so, word by word, are still the experiments and what leads to them.
ROOMS = (
    *(
        'tasks',
        'transfer',
        'train',
        'evaluate',
        'data/feed',
        'data/split',
        'rules.py',
        'checks.py',
        'files',
        'stopping.py',
    ),
    *('inputs/prepare.py', 'inputs/feature.py', 'models/network.py', 'models/mode.py', 'models/cost.py'),
    *('models/shapes.py', 'models/stages.py', 'models/heads.py', 'adapters/adaptation.py', 'adapters/network.py'),
)
# What may be said, and why.
ALLOWED = {
    r'image_size': 'a field of the configuration and of files that were written',
    r'images_per_second': 'a field of metrics.jsonl',
    r'flops_per_image': 'a field of plan.json',
    r'mirror images?': 'one of the views, which only images have',
    r'views of each image': 'likewise',
    r'the map of each image': 'geometry is that of images, and moves boxes',
    r'the kernel that reads the image': 'as a paper has it',
    r'independent of each other \(images of': 'an example',
    r'An image of some size|an image of\n\s+some size': 'what is taken where nobody says what a network reads',
    r'evaluate.flips is for images|views of images': 'told of other inputs',
}
_WORD = re.compile(r'[\w-]*(?:image|picture)[\w-]*', re.IGNORECASE)


def files():
    for room in ROOMS:
        place = LIBRARY / room
        yield from [place] if place.is_file() else sorted(place.rglob('*.py'))


@pytest.mark.parametrize('path', list(files()), ids=lambda path: str(path.relative_to(LIBRARY)))
def test_rooms_of_every_input_do_not_speak_of_images(path):
    text = path.read_text(encoding='utf-8')
    for allowed in ALLOWED:
        text = re.sub(allowed, '', text)
    text = re.sub(r'^from jtransfer\.inputs\.image.*$|jtransfer\.augment\.\w+', '', text, flags=re.M)
    assert not sorted(set(_WORD.findall(text)))
