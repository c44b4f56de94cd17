"""What trials are judged by: the validation part, or inner folds; never the test part."""

import dataclasses

import numpy as np
import pytest

from jtransfer.config import Search
from jtransfer.config.fields import replace
from jtransfer.data.parts import load_parts
from jtransfer.data.sources.arrays import ArraySource
from jtransfer.errors import UserError
from jtransfer.experiments.run.prepare import prepare
from jtransfer.experiments.run.train import train_model
from jtransfer.experiments.search.judge import make_judge

pytestmark = pytest.mark.usefixtures('compile_once')


def pictures(number=36, seed=0, groups=None):
    random = np.random.default_rng(seed)
    images = random.integers(0, 200, (number, 16, 16, 3), dtype=np.uint8)
    labels = np.arange(number) % 3
    images[np.arange(number), :, :, labels] += 50
    return ArraySource(list(images), labels, ('a', 'b', 'c'), **({} if groups is None else {'groups': groups}))


def searching(tiny_config, folds=0, **settings):
    config = tiny_config(**{'train.steps': 2, **settings})
    return dataclasses.replace(config, search=Search(space=('optim.learning_rate=log(0.01, 1)',), folds=folds))


def parts_of(config, source):
    return load_parts(config.data, config.seed, source)


def test_the_validation_part_judges_and_every_validation_is_reported(tiny_config):
    config = searching(tiny_config, **{'data.validation_fraction': 0.3, 'train.steps': 4, 'train.evaluate_every': 2})
    parts = parts_of(config, pictures())
    judge = make_judge(config, parts)
    assert (judge.by, judge.score.name, judge.folds, judge.parts.test) == ('validation part', 'accuracy', (), None)
    reported = []
    found = judge(config, lambda step, score: reported.append((step, score)))
    observed = []
    trained = train_model(prepare(config, parts), observe=lambda step, scores: observed.append((step, scores)))
    assert [step for step, _ in observed] == [2, 4]
    assert found == (trained.fit.best_score, trained.fit.best_loss)
    assert found.score == max(score for _, score in reported)
    assert reported == [(number, scores['top1']) for number, (_, scores) in enumerate(observed, 1)]
    assert judge(config) == found


def test_what_a_report_raises_ends_the_training(tiny_config):
    config = searching(tiny_config, **{'data.validation_fraction': 0.3, 'train.steps': 4, 'train.evaluate_every': 1})
    reported = []

    def stop(step, score):
        reported.append(step)
        if step == 2:
            raise ZeroDivisionError

    judge = make_judge(config, parts_of(config, pictures()))
    with pytest.raises(ZeroDivisionError):
        judge(config, stop)
    assert reported == [1, 2]


def test_inner_folds_divide_the_training_part_and_keep_groups_whole(tiny_config):
    names = [f'g{index // 2}' for index in range(36)]
    config = searching(tiny_config, folds=3, **{'data.batch_size': 4, 'data.duplicates': 'report'})
    parts = parts_of(config, pictures(groups=names))
    judge = make_judge(config, parts)
    train = set(parts.train.ids)
    held = [set(fold.held.ids) for fold in judge.folds]
    assert set().union(*held) == train
    assert sum(map(len, held)) == len(train)
    group = dict(zip(parts.train.ids, parts.train.groups, strict=True))
    for fold, out in zip(judge.folds, held, strict=True):
        assert set(fold.parts.train.ids) == train - out
        assert fold.parts.test is None
        assert not {group[each] for each in fold.parts.train.ids} & {group[each] for each in out}
    assert judge.record['splitter'] == 'stratified_grouped'


@pytest.mark.parametrize('duplicates', ['auto', 'ignore'])
def test_inner_folds_keep_duplicates_together(tiny_config, duplicates):
    source = pictures(18)
    images = [source[index]['image'] for index in range(18)]
    twice = ArraySource(images * 2, np.tile(source.labels, 2), source.class_names)
    config = searching(tiny_config, folds=2, **{'data.test_fraction': 0.0, 'data.batch_size': 4})
    config = replace(config, 'data.duplicates', duplicates)
    parts = parts_of(config, twice)
    judge = make_judge(config, parts)
    divided = 0
    for fold in judge.folds:
        out = {fold.held[index]['image'].tobytes() for index in range(len(fold.held))}
        divided += sum(fold.parts.train[index]['image'].tobytes() in out for index in range(len(fold.parts.train)))
    assert bool(divided) == (duplicates == 'ignore')
    if duplicates == 'ignore':
        # Whoever knows already says so.
        told = make_judge(config, parts, groups=[str(index % 18) for index in range(36)])
        assert told.record['splitter'] == 'stratified_grouped'


def test_inner_folds_are_scored_on_what_was_held_out(tiny_config):
    config = searching(tiny_config, folds=2)
    judge = make_judge(config, parts_of(config, pictures()))
    reported = []
    found = judge(config, lambda step, score: reported.append((step, score)))
    assert [step for step, _ in reported] == [1, 2]
    assert reported[-1][1] == found.score
    # A mean of shares of what each fold holds.
    sizes = [len(fold.held) for fold in judge.folds]
    first = reported[0][1] * sizes[0]
    second = (2 * found.score - reported[0][1]) * sizes[1]
    assert first == pytest.approx(round(first))
    assert second == pytest.approx(round(second))
    assert judge(config) == found
    assert judge.by == '2 inner folds'


def test_what_cannot_judge_is_one_line(tiny_config):
    config = searching(tiny_config)
    with pytest.raises(UserError, match=r'set data\.validation_fraction above 0, or search\.folds to 2 or more'):
        make_judge(config, parts_of(config, pictures()))
    for folds, batch, message in [
        (9, 4, r'inner folds: .*too few for search\.folds=9'),
        (2, 20, r'inner folds: data\.batch_size=20 is larger'),
    ]:
        config = searching(tiny_config, folds, **{'data.batch_size': batch})
        parts = parts_of(config, pictures())
        with pytest.raises(UserError, match=message):
            make_judge(config, parts)


def test_the_digest_tells_other_images_and_other_folds(tiny_config):
    digests = set()
    for folds, seed in [(0, 0), (2, 0), (3, 0), (3, 1)]:
        config = searching(tiny_config, folds, **{'data.validation_fraction': 0.3, 'data.batch_size': 4, 'seed': seed})
        parts = parts_of(config, pictures())
        digests.add(make_judge(config, parts).digest(parts))
        assert make_judge(config, parts).digest(parts) in digests
    assert len(digests) == 4
