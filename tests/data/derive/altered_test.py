"""Studies change the training part alone, by exact numbers, as their seed says."""

import numpy as np
import pytest

from jtransfer.data.parts import load_parts, split_record
from jtransfer.errors import UserError
from tests.data.parts_test import LABELS, Sealed, data, disjoint, sealed, sizes, source

STUDIES = {'imbalance': 4.0, 'unlabelled_fraction': 0.25, 'label_noise': 0.2}


def held_out(parts):
    return [(part.ids, part.labels[''].tolist()) for part in (parts.validation, parts.test)]


@pytest.mark.parametrize('seed', [0, 1])
def test_studies_change_the_training_part_alone_by_exact_numbers(seed):
    pool = sealed(np.repeat([0, 1, 2], 50))
    plain = load_parts(data(validation_fraction=0.2, test_fraction=0.2), seed, pool)
    assert sizes(plain) == [90, 30, 30]
    assert plain.unlabelled is None
    true = dict(zip(pool.ids, pool.labels.tolist(), strict=True))

    parts = load_parts(data(validation_fraction=0.2, test_fraction=0.2, **STUDIES), seed, pool)
    assert held_out(parts) == held_out(plain)
    # 30, 15 and 8 of each class, in some order (the smallest is 30 / 4); a quarter of each without its label; a fifth
    # of what remains has another.
    kept = [true[example] for example in (*parts.train.ids, *parts.unlabelled.ids)]
    assert sorted(np.bincount(kept)) == [8, 15, 30]
    assert sorted(np.bincount(parts.unlabelled.labels[''])) == [2, 4, 8]
    assert sizes(parts) == [39, 30, 30]
    wrong = [true[name] != label for name, label in zip(parts.train.ids, parts.train.labels[''], strict=True)]
    assert sum(wrong) == 8
    assert {*parts.train.ids, *parts.unlabelled.ids} < set(plain.train.ids)
    assert disjoint(parts, lambda part: part.ids)
    assert parts.notes == (
        'data.imbalance=4 keeps 53 of 90 training images',
        '14 training images are set apart without their labels',
        '8 of 39 training labels are wrong (symmetric)',
    )
    again = load_parts(data(validation_fraction=0.2, test_fraction=0.2, **STUDIES), seed, pool)
    assert split_record(again) == split_record(parts)
    np.testing.assert_array_equal(again.train.labels[''], parts.train.labels[''])


def test_every_study_has_its_own_draw_by_the_seed():
    pool = sealed(np.repeat([0, 1, 2], 50))
    for field, value in STUDIES.items():
        zero, one, two = (load_parts(data(**{field: value}, split_seed=seed), 7, pool) for seed in (0, 1, 0))
        for part in ('train', 'unlabelled'):
            if getattr(zero, part) is not None:
                first, other, again = (
                    list(zip(getattr(parts, part).ids, getattr(parts, part).labels[''].tolist(), strict=True))
                    for parts in (zero, one, two)
                )
                assert first == again
                assert first != other


def test_a_wrong_label_is_what_training_reads():
    pool = source(per_class=20)
    parts = load_parts(data(label_noise=0.5, label_noise_kind='asymmetric'), 0, pool)
    right = dict(zip(pool.ids, pool.labels.tolist(), strict=True))
    wrong = 0
    for index, name in enumerate(parts.train.ids):
        example = parts.train[index]
        assert example['labels'][''] == parts.train.labels[''][index]
        wrong += example['labels'][''] == (right[name] + 1) % 3
        assert example['labels'][''] in (right[name], (right[name] + 1) % 3)
    assert wrong == 24
    tested = [parts.test[index]['labels'][''] for index in range(len(parts.test))]
    assert tested == [right[name] for name in parts.test.ids]


def test_the_record_has_what_is_without_labels():
    parts = load_parts(data(unlabelled_fraction=0.25), 0, source(per_class=20))
    record = split_record(parts)
    assert list(record) == ['class_names', 'train', 'test', 'unlabelled']
    assert record['unlabelled']['ids'] == list(parts.unlabelled.ids)
    assert (record['train']['count'], record['unlabelled']['count']) == (36, 12)


@pytest.mark.parametrize('field', ['imbalance', 'label_noise'])
@pytest.mark.parametrize(
    ('kind', 'what'), [('multi_label', 'several labels'), ('regression', 'numbers'), ('heads', 'several heads')]
)
def test_studies_of_one_label_are_refused_for_others(kind, what, field):
    labels, tasks = LABELS[kind]
    with pytest.raises(UserError, match=f'data.{field} is for one label an image, and these have {what}'):
        load_parts(data(**{field: STUDIES[field]}), 0, Sealed(np.zeros((40, 4, 4, 3), np.uint8), labels, tasks=tasks))
