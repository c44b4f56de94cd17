"""The space of a search: what its texts mean, and what is refused before any trial."""

import dataclasses

import pytest

from jtransfer.config import Augment, Config, Model, Optim, Search, Train
from jtransfer.errors import UserError
from jtransfer.experiments.search.space import Dimension, parse_space, settled

BASE = Config(model=Model(checkpoint='jtransfer/resnet_glyphs'), train=Train(epochs=2))


def searching(*space, base=BASE):
    return dataclasses.replace(base, search=Search(space=space))


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('optim.learning_rate=log(1e-5, 1e-2)', Dimension('optim.learning_rate', 'log', 1e-5, 1e-2)),
        (' optim.weight_decay = uniform( 0, .1 ) ', Dimension('optim.weight_decay', 'uniform', 0.0, 0.1)),
        ('data.batch_size=int(5, 50)', Dimension('data.batch_size', 'int', 5.0, 50.0)),
        ('data.batch_size=log_int(8, 1e2)', Dimension('data.batch_size', 'log_int', 8.0, 100.0)),
        ('train.epochs=int(1, 4)', Dimension('train.epochs', 'int', 1.0, 4.0)),
        (
            'augment.crop_scale=choice((0.5, 1), (1, 1))',
            Dimension('augment.crop_scale', 'choice', choices=('(0.5, 1)', '(1, 1)')),
        ),
        ('optim.ema_decay=choice(0, 0.9)', Dimension('optim.ema_decay', 'choice', choices=('0', '0.9'))),
        (
            'model.options=choice("", "eps=1e-5,pre=1")',
            'search.space: model.options=choice(, eps=1e-5,pre=1) has an empty value',
        ),
        (
            'model.name=choice("resnet_tiny", vgg11)',
            Dimension('model.name', 'choice', choices=('resnet_tiny', 'vgg11')),
        ),
    ],
)
def test_texts(text, expected):
    if isinstance(expected, str):
        with pytest.raises(UserError) as caught:
            parse_space(searching(text))
        assert str(caught.value) == expected
        return
    assert parse_space(searching(text)) == (expected,)


@pytest.mark.parametrize(
    ('space', 'message'),
    [
        ((), r'search\.space is empty'),
        (('optim.learning_rate',), r'not of the form FIELD=log\(1e-5, 1e-2\)'),
        (('optim.learning_rate=0.1',), r'not of the form'),
        (('=log(1, 2)',), r'not of the form'),
        (('optim.lr=log(1e-5, 1e-2)',), r"no field 'optim\.lr'\. Did you mean 'optim\.learning_rate'"),
        (('optim=log(1e-5, 1e-2)',), r"no field 'optim'"),
        (('optim.learning_rate=logg(1, 2)',), r"'logg\(…\)', which is no range\. Did you mean 'log'"),
        (('optim.learning_rate=log(1e-5)',), r'must have two numbers, as log\(1e-5, 1e-2\)'),
        (('optim.learning_rate=log(a, b)',), r'must have two numbers'),
        (('optim.learning_rate=log(1e-5, 1e999)',), r'must have two numbers'),
        (('optim.learning_rate=log(0, 1)',), r'a logarithmic scale begins above 0'),
        (('optim.learning_rate=uniform(1, 0.1)',), r'smaller number first'),
        (('optim.learning_rate=uniform(1, 1)',), r'smaller number first'),
        (('data.batch_size=int(1.5, 3)',), r'whole numbers'),
        (('data.batch_size=uniform(8, 16)',), r'data\.batch_size='),
        (('data.batch_size=int(0, 16)',), r'data\.batch_size=0: data\.batch_size=0 must be at least 1'),
        (('model.dropout=uniform(0, 1)',), r'model\.dropout=1\.0: .*below 1'),
        (('transfer.strategy=choice(linear_probe, fine_tun)',), r'transfer\.strategy=fine_tun: '),
        (('optim.ema_decay=choice(0, 0.0)',), r'has the value 0\.0 twice'),
        (('optim.ema_decay=choice(0.9)',), r'nothing to choose from'),
        (('optim.ema_decay=choice(0.9, )',), r'empty value'),
        (('optim.weight_decay=uniform(0, 1)', 'optim.weight_decay=log(1, 2)'), r'names optim\.weight_decay twice'),
        (('train.epochs=int(1, 2)', 'train.steps=int(1, 2)'), r'exactly one'),
        (('seed=int(0, 9)',), r'seed is the same in all trials'),
        (('run_dir=choice(a, b)',), r'run_dir changes nothing'),
        (('name=choice(a, b)',), r'name changes nothing'),
        (('search.trials=int(1, 9)',), r'search\.trials changes nothing'),
        (('crossval.folds=int(2, 9)',), r'crossval\.folds changes nothing'),
        (('data.test_fraction=uniform(0.1, 0.5)',), r'data\.test_fraction is of the images and their parts'),
        (('data.examples_per_class=int(1, 5)',), r'data\.batch_size and data\.sampling may be varied'),
    ],
)
def test_what_is_refused_before_any_trial(space, message):
    with pytest.raises(UserError, match=message) as caught:
        parse_space(searching(*space))
    assert '\n' not in str(caught.value)


def test_a_trial_is_the_configuration_with_its_fields_and_nothing_to_search():
    config = searching('optim.learning_rate=log(1e-5, 1e-2)', 'augment.crop_scale=choice((0.5, 1), (1, 1))')
    trial = settled(config, {'optim.learning_rate': 0.25, 'augment.crop_scale': '(0.5, 1)'})
    assert trial == dataclasses.replace(BASE, optim=Optim(learning_rate=0.25), augment=Augment(crop_scale=(0.5, 1.0)))
    assert config.search.space


@pytest.mark.parametrize(('field', 'other'), [('train.steps', 'epochs'), ('train.epochs', 'steps')])
def test_epochs_and_steps_replace_each_other(field, other):
    base = dataclasses.replace(BASE, train=Train(**{'epochs': 0.0, 'steps': 0, other: 3}))
    config = searching(f'{field}=int(5, 9)', base=base)
    parse_space(config)
    trial = settled(config, {field: 7})
    assert getattr(trial.train, other) == 0
    assert getattr(trial.train, field.partition('.')[2]) == 7


def test_values_that_do_not_go_together_are_told():
    config = searching('optim.accumulate_steps=choice(1, 4)', 'data.batch_size=choice(8, 9)')
    parse_space(config)
    with pytest.raises(UserError, match='does not divide'):
        settled(config, {'optim.accumulate_steps': '4', 'data.batch_size': '9'})
