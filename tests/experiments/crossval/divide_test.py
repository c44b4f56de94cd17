"""What is cross-validated: what stays together, what stays out, and which folds a folder or a file gives."""

import dataclasses
import json

import numpy as np
import pytest

from jtransfer import config as config_lib
from jtransfer.data.duplicates import guard
from jtransfer.data.duplicates.find import Pair
from jtransfer.data.sources.arrays import ArraySource
from jtransfer.errors import UserError
from jtransfer.experiments.crossval.divide import DUPLICATES, FOLDS, check_folds, divide
from jtransfer.experiments.run.directory import write_config, write_json
from jtransfer.tasks.base import Task, single_label
from tests.data.planted import encoded, originals
from tests.experiments.pictures import Pictures

CLASSES = ('a', 'b')


def config_of(**settings):
    config = config_lib.Config(
        transfer=config_lib.Transfer(strategy='scratch'),
        model=config_lib.Model(name='resnet_tiny'),
        data=config_lib.Data(batch_size=4, duplicates='ignore'),
        crossval=config_lib.CrossVal(folds=3),
    )
    for field, value in settings.items():
        config = config_lib.replace(config, field, value)
    return config


def noise(count=24, groups=None, start=0):
    """Pictures that are alike in nothing, the classes in turn."""
    random = np.random.default_rng(start)
    images = random.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    source = ArraySource(images, np.arange(count) % 2, CLASSES, ids=[f'p{start + i}' for i in range(count)])
    if groups is not None:
        source.groups = tuple(groups)
    return source


def planted():
    """Twelve crops of photographs and textures, each with a copy: exact, encoded again, or mirrored."""
    pictures = originals()[:12]
    copies = [
        [lambda p: p, lambda p: encoded(p, 'JPEG', 75), lambda p: np.ascontiguousarray(p[:, ::-1])][i % 3](picture)
        for i, picture in enumerate(pictures)
    ]
    return ArraySource([*pictures, *copies], np.arange(24) % 2, CLASSES)


def together(parts, names):
    """Whether no two of the parts have an example of one group."""
    seen = {}
    for number, part in enumerate(parts):
        for name in names(part):
            if seen.setdefault(name, number) != number:
                return False
    return True


def sides(parts):
    return [part for part in (parts.train, parts.validation, parts.test) if part is not None]


def pair_of(part):
    """Which of the planted twelve each example is, or is a copy of."""
    return [int(index) % 12 for index in part.indices]


@pytest.mark.parametrize('duplicates', ['auto', 'group'])
def test_copies_stay_on_one_side_of_every_fold_and_of_its_hold_out(tmp_path, duplicates):
    config = config_of(**{'data.duplicates': duplicates, 'data.validation_fraction': 0.25})
    crossing = divide(config, tmp_path, planted())
    assert len(crossing.guard.found.pairs) == 12
    assert crossing.record['splitter'] == 'stratified_grouped'
    for fold in crossing.folds:
        parts = crossing.parts(fold, config)
        assert together(sides(parts), pair_of)
        assert len(parts.train) + len(parts.validation) + len(parts.test) == 24
        assert len(parts.validation) >= 2


@pytest.mark.parametrize(('duplicates', 'looks'), [('report', True), ('ignore', False)])
def test_copies_are_divided_where_they_are_only_listed_or_not_looked_for(tmp_path, duplicates, looks):
    crossing = divide(config_of(**{'data.duplicates': duplicates}), tmp_path, planted())
    assert (crossing.guard is not None) == looks
    assert any(line.startswith('duplicates: 12 pairs') for line in crossing.notes) == looks
    assert crossing.record['splitter'] == 'stratified'
    assert not all(together(sides(crossing.parts(fold, config_of())), pair_of) for fold in crossing.folds)


@pytest.mark.parametrize('splitter', ['stratified', 'k_fold'])
def test_a_splitter_that_would_divide_copies_says_what_to_do(tmp_path, splitter):
    config = config_of(**{'data.duplicates': 'auto', 'crossval.splitter': splitter})
    with pytest.raises(UserError, match=r'would divide groups.*grouped.*data.duplicates=report') as caught:
        divide(config, tmp_path, planted())
    assert '\n' not in str(caught.value)
    assert divide(config_lib.replace(config, 'data.duplicates', 'report'), tmp_path, planted()).groups is None


@pytest.mark.parametrize('settings', [{}, {'data.examples_per_class': 3}])
def test_groups_of_the_source_stay_whole_in_folds_and_hold_outs(tmp_path, settings):
    config = config_of(**{'data.validation_fraction': 0.25, 'crossval.repeats': 2, **settings})
    source = noise(48, groups=[f'patient {i // 4}' for i in range(48)])
    crossing = divide(config, tmp_path, source)
    assert crossing.record['splitter'] == 'stratified_grouped'
    assert len(crossing.folds) == 6
    for fold in crossing.folds:
        parts = crossing.parts(fold, config)
        assert parts.validation is not None
        left_out = sum(int(line.split()[0]) for line in parts.notes)
        assert len(parts.train) + len(parts.validation) + left_out == len(fold.train)
        assert together(sides(parts), lambda part: part.groups)


def test_leaving_groups_out_needs_groups_of_the_source(tmp_path):
    config = config_of(**{'crossval.splitter': 'leave_one_group_out', 'data.duplicates': 'auto'})
    with pytest.raises(UserError, match='needs groups, and there are none'):
        divide(config, tmp_path, planted())
    crossing = divide(config, tmp_path, noise(groups=[f'g{i // 8}' for i in range(24)]))
    assert [len(fold.test) for fold in crossing.folds] == [8, 8, 8]


@pytest.mark.parametrize('afterwards', ['none', 'soup'])
def test_the_sources_own_parts_are_in_no_fold(tmp_path, afterwards):
    sources = {'train': noise(), 'validation': noise(8, start=100), 'test': noise(6, start=200)}
    config = config_of(**{'crossval.test_fraction': 0.5, 'crossval.afterwards': afterwards})
    crossing = divide(config, tmp_path, sources)
    assert len(crossing.pool) == 24
    assert crossing.test.ids == sources['test'].ids
    assert crossing.chooser.ids == crossing.validation.ids == sources['validation'].ids
    for fold in crossing.folds:
        parts = crossing.parts(fold, config)
        assert set(parts.train.ids) | set(parts.test.ids) == set(sources['train'].ids)
        assert parts.validation.ids == sources['validation'].ids
    assert set(crossing.whole(config).train.ids) == set(sources['train'].ids)


def test_what_is_set_apart_for_later_is_in_no_fold(tmp_path):
    groups = [f'g{i // 2}' for i in range(48)]
    config = config_of(
        **{'crossval.test_fraction': 0.25, 'crossval.soup_fraction': 0.25, 'crossval.afterwards': 'soup'}
    )
    crossing = divide(config, tmp_path, noise(48, groups))
    assert (len(crossing.pool), len(crossing.chooser), len(crossing.test)) == (24, 12, 12)
    apart = [crossing.pool, crossing.chooser, crossing.test]
    assert together(apart, lambda part: part.groups)
    assert crossing.validation is None
    tested = [crossing.pool.ids[index] for fold in crossing.folds for index in fold.test]
    assert sorted(tested) == sorted(crossing.pool.ids)


def test_a_share_that_leaves_nothing_names_its_own_field(tmp_path):
    with pytest.raises(UserError, match=r'change crossval\.test_fraction'):
        divide(config_of(**{'crossval.test_fraction': 0.01}), tmp_path, noise(8))


def test_few_shot_draws_inside_the_folds_training_part(tmp_path):
    config = config_of(**{'data.examples_per_class': 2, 'data.validation_fraction': 0.5})
    crossing = divide(config, tmp_path, noise())
    for fold in crossing.folds:
        parts = crossing.parts(fold, config)
        assert np.bincount(parts.train.labels['']).tolist() == [2, 2]
        assert len(parts.test) == 8
        assert len({*parts.train.ids, *parts.validation.ids, *parts.test.ids}) == 4 + 6 + 8
        assert parts.notes == ('6 training images not drawn and left out (data.examples_per_class)',)
    assert crossing.whole(config).notes == ('20 training images not drawn and left out (data.examples_per_class)',)


def test_the_division_is_a_function_of_its_seed(tmp_path):
    def divided(**settings):
        return [fold.test.tolist() for fold in divide(config_of(**settings), tmp_path, noise()).folds]

    assert divided() == divided(**{'crossval.seed': 0}) == divided(**{'data.split_seed': 0})
    assert (
        divided(seed=5) == divided(**{'crossval.seed': 5}) == divided(**{'data.split_seed': 5, 'crossval.seed': None})
    )
    assert divided() != divided(seed=5)
    assert divided(seed=5, **{'crossval.seed': 0}) == divided()


def test_folds_of_a_file_are_the_same_whatever_else_is_asked_for(tmp_path):
    first = divide(config_of(), tmp_path, noise())
    write_json(tmp_path / 'theirs.json', first.record)
    config = config_of(**{'crossval.file': str(tmp_path / 'theirs.json'), 'crossval.folds': 5, 'seed': 9})
    again = divide(config, tmp_path / 'other', noise())
    assert [fold.test.tolist() for fold in again.folds] == [fold.test.tolist() for fold in first.folds]
    assert again.record == first.record


def test_folds_of_a_file_that_divide_copies_are_refused(tmp_path):
    careless = divide(config_of(), tmp_path, planted())
    write_json(tmp_path / 'theirs.json', careless.record)
    config = config_of(**{'crossval.file': str(tmp_path / 'theirs.json'), 'data.duplicates': 'auto'})
    with pytest.raises(
        UserError, match=r'theirs.json divides what belongs together, such as array/.* and array/'
    ) as caught:
        divide(config, tmp_path / 'other', planted())
    assert '\n' not in str(caught.value)


def test_data_that_have_changed_are_one_line(tmp_path):
    write_json(tmp_path / FOLDS, divide(config_of(), tmp_path, noise()).record)
    write_config(tmp_path, config_of())
    assert divide(config_of(), tmp_path, noise()).record == json.loads((tmp_path / FOLDS).read_text())
    with pytest.raises(UserError, match=r'folds.json is of other examples: .*such as p24') as caught:
        divide(config_of(), tmp_path, noise(26))
    assert '\n' not in str(caught.value)
    renamed = noise()
    renamed.class_names = ('a', 'c')
    with pytest.raises(UserError, match='is of the classes a, b, and the data have a, c'):
        divide(config_of(), tmp_path, renamed)


def test_duplicates_that_were_found_are_not_looked_for_again(tmp_path, monkeypatch):
    config = config_of(**{'data.duplicates': 'auto'})
    first = divide(config, tmp_path, planted())
    write_json(tmp_path / DUPLICATES, guard.to_record(first.guard))
    monkeypatch.setattr(guard, 'look', None)
    again = divide(config, tmp_path, planted())
    assert again.groups == first.groups
    assert again.record == first.record
    with pytest.raises(UserError, match='does not list the duplicates among these 24 images'):
        divide(config, tmp_path, noise())


def test_pairs_by_a_network_are_kept_together_too(tmp_path):
    found = [Pair(0, 5, 'embedding', 0.01)]
    crossing = divide(config_of(**{'data.duplicates': 'auto'}), tmp_path, noise(), lambda source: found)
    for fold in crossing.folds:
        assert (0 in fold.test) == (5 in fold.test)
    with pytest.raises(UserError, match=r'data.duplicates=ignore does not look'):
        divide(config_of(), tmp_path, noise(), lambda source: found)


def test_a_soup_cannot_be_thought_of_later(tmp_path):
    write_json(tmp_path / FOLDS, divide(config_of(), tmp_path, noise()).record)
    write_config(tmp_path, config_of())
    soup = config_of(**{'crossval.afterwards': 'soup'})
    with pytest.raises(UserError, match=r'begun with crossval.afterwards=none: name another run_dir'):
        divide(soup, tmp_path, noise())
    # A validation part of the source's own is in no fold anyway.
    divide(soup, tmp_path, {'train': noise(), 'validation': noise(4, start=90)})


def test_two_examples_of_one_name_are_refused(tmp_path):
    source = noise()
    source.ids = ('p0', *source.ids[:-1])
    with pytest.raises(UserError, match="two examples of the train part have the id 'p0'"):
        divide(config_of(), tmp_path, source)


def test_a_folder_of_other_folds_is_refused(tmp_path):
    write_json(tmp_path / FOLDS, divide(config_of(), tmp_path, noise()).record)
    write_config(tmp_path, config_of())
    check_folds(tmp_path, divide(config_of(), tmp_path, noise()))
    with pytest.raises(UserError, match='has other folds than this configuration makes'):
        check_folds(tmp_path, divide(config_of(seed=1), tmp_path / 'other', noise()))


def test_studies_touch_the_training_part_alone(tmp_path):
    config = config_of(**{'data.label_noise': 0.5, 'data.validation_fraction': 0.25})
    crossing = divide(config, tmp_path, noise(48))
    parts = crossing.parts(crossing.folds[0], config)
    true = {example: label for example, label in zip(crossing.pool.ids, crossing.pool.labels[''], strict=True)}
    wrong = [
        sum(int(label != true[example]) for example, label in zip(part.ids, part.labels[''], strict=True))
        for part in sides(parts)
    ]
    assert wrong[0] > 0
    assert wrong[1:] == [0, 0]


def test_several_tasks_are_divided_by_the_first_that_has_classes(tmp_path):
    random = np.random.default_rng(0)
    tasks = (Task('size', 'regression', ('mm',)), Task('tags', 'multi_label', ('x', 'y', 'z')))
    labels = {
        'size': random.normal(size=(30, 1)).astype(np.float32),
        'tags': (random.random((30, 3)) < 0.5).astype(np.float32),
    }
    source = Pictures(random.integers(0, 256, (30, 8, 8, 3), dtype=np.uint8), labels, tasks)
    crossing = divide(config_of(), tmp_path, source)
    assert crossing.record['splitter'] == 'multi_label'
    numbers = dataclasses.replace(source, labels=labels['size'], tasks=(dataclasses.replace(tasks[0], name=''),))
    assert divide(config_of(), tmp_path, numbers).record['splitter'] == 'k_fold'


def test_classes_are_called_by_the_names_of_their_own_task(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 3), dtype=np.uint8)
    tasks = (Task('size', 'regression', ('mm', 'cm')), single_label(('x', 'y', 'z'), 'kind'))
    labels = {'size': np.zeros((24, 2), np.float32), 'kind': (np.arange(24) % 3).astype(np.int32)}
    config = config_of(**{'data.examples_per_class': 2})
    crossing = divide(config, tmp_path, ArraySource(images, labels, tasks=tasks))
    parts = crossing.parts(crossing.folds[0], config)
    assert np.bincount(parts.train.labels['kind']).tolist() == [2, 2, 2]
    numbers = divide(
        config, tmp_path, ArraySource(images, labels['size'], tasks=[Task('', 'regression', ('mm', 'cm'))])
    )
    with pytest.raises(UserError, match='there are only numbers to predict: set it to 0'):
        numbers.parts(numbers.folds[0], config)
    rare = {**labels, 'kind': np.where(np.arange(24) < 2, 2, np.arange(24) % 2).astype(np.int32)}
    with pytest.raises(UserError, match=r"class 'z' has 2 examples, too few for crossval.folds=3"):
        divide(config_of(), tmp_path, ArraySource(images, rare, tasks=tasks))
