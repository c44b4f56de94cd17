"""From the names and contents of sub-folders to parts or classes."""

import pytest

from jtransfer.data.sources.layout import find_parts
from jtransfer.errors import UserError


def tree(root, text):
    """Empty files: `train/{a,b}` is an image in each of train/a and train/b, `bus` one in bus itself."""
    for word in text.split():
        above, brace, below = word.partition('/{')
        for name in below.rstrip('}').split(',') if brace else ['']:
            folder = root / above / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / '1.png').touch()
    return root


def names(root, found):
    return {part: str(path.relative_to(root)) for part, path in found.items()}


@pytest.mark.parametrize(
    ('text', 'parts'),
    [
        ('training_set/{cats,dogs} test_set/{cats,dogs}', {'train': 'training_set', 'test': 'test_set'}),
        ('train/{cats,dogs} eval/{cats,dogs}', {'train': 'train', 'validation': 'eval'}),
        ('Train/{a,b} Val-Set/{a,b} testData/{a}', {'train': 'Train', 'validation': 'Val-Set', 'test': 'testData'}),
        ('train/{a,b}', {'train': 'train'}),
        ('train train/{a,b} test/{a,b}', {'train': 'train', 'test': 'test'}),
    ],
)  # fmt: skip
def test_parts(tmp_path, text, parts):
    root = tree(tmp_path, text)
    (root / 'docs/pages').mkdir(parents=True)
    (root / 'docs/pages/read.me').touch()
    assert names(root, find_parts(root, {})) == parts


@pytest.mark.parametrize(
    'text',
    [
        'train bus',
        'train bus train/{wagons} bus/{red,blue}',
        'valid invalid',
        'dogs/{puppies,adult} cats/{kittens,adult}',
        'n01/{images} n02/{images} n03/{images}',
        'dogs dogs/{adult,young} cats cats/{adult,young}',
        'dogs/{images} cats',
    ],
)
def test_classes(tmp_path, text):
    assert find_parts(tree(tmp_path, text), {}) == {}


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('fold_a/{cats,dogs} fold_b/{cats,dogs}', "'fold_a', 'fold_b' hold folders of the same names .cats, dogs."),
        ('Tr/{cats,dogs} Te/{Cats,dogs}', "'Te', 'Tr' hold folders of the same names"),
        ('one/{a,b,c} two/{a,b}', 'hold folders of the same names'),
        ('one one/{a,b} two/{a,b}', 'hold folders of the same names'),
        ('cats/{train,test} dogs/{train,test}', 'called like parts: these must stand above the classes'),
        ('cats dogs holdout/{cats,dogs}', "'holdout' holds folders that are called like those beside it"),
        ('train/{a,b} eval2/{a,b}', r"'train'.* them 'eval2' \(2 images\), .*data\.train_split=train leaves it"),
        ('train/{a,b} test/{a,b} unlabeled', r"'unlabeled' \(1 image, without class folders\)"),
        ('train/{a,b} test', r"'test' \(1 image, without class folders\)"),
        ('train/{a,b} val/{a,b} eval/{a,b}', "has both 'eval' and 'val': say which one with data.validation_split"),
        ('train test', 'train, test|test, train are called like parts, but the training part holds images'),
        ('test/{a,b} val/{a,b}', "has a folder 'val' but no train folder: name it with data.train_split"),
        ('cats dogs test/{cats,dogs}', "has a folder 'test' but no train folder"),
    ],
)  # fmt: skip
def test_what_is_not_understood_stops_and_says_how_to_go_on(tmp_path, text, message):
    root = tree(tmp_path, text)
    with pytest.raises(UserError, match=message) as caught:
        find_parts(root, {})
    line = str(caught.value)
    assert '\n' not in line
    assert 'data.train_split' in line or 'data.validation_split' in line
    # The sub-folders may always be said to be the classes.
    assert names(root, find_parts(root, {'train': '.'})) == {'train': '.'}


def test_named_parts_and_those_of_common_names_beside_them(tmp_path):
    root = tree(tmp_path, 'a/{x,y} b/{x,y} deep/c/{x,y} val/{x,y} test')
    assert names(root, find_parts(root, {'train': 'a'})) == {'train': 'a', 'validation': 'val'}
    assert names(root, find_parts(root, {'train': 'val', 'test': 'deep/c'})) == {'train': 'val', 'test': 'deep/c'}
    with pytest.raises(UserError, match=r"data\.test_split=bb: there is no folder .*Did you mean '.*b'"):
        find_parts(root, {'test': 'bb'})
    with pytest.raises(UserError, match="a folder 'b' but no train folder"):
        find_parts(root, {'test': 'b'})
