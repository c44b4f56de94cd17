"""A kind of task of one's own, made here and nowhere else: ordered grades, from a file to a page."""

import csv
import json

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import expit

import jtransfer as jt
from jtransfer.config import optim
from jtransfer.errors import UserError
from jtransfer.experiments.predict import predict as prediction
from jtransfer.pretrained.model import load_model
from jtransfer.tasks import base
from jtransfer.tasks.base import Task
from jtransfer.tasks.classification import Classification
from jtransfer.tasks.metrics.figure import Figure
from jtransfer.tasks.metrics.figure_metrics import FigureMetrics
from jtransfer.tasks.metrics.wrong import Wrong

GRADES = ('dark', 'dim', 'light', 'bright')


@pytest.fixture(scope='module', autouse=True)
def kind():
    """The kind, known while this file is tested: others ask which kinds there are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, '_CLASSES', dict(base._CLASSES))
        patch.setattr(optim, '_FURTHER', {})
        yield make_kind()


def make_kind():
    class Ordinal(Classification, kind='ordinal'):
        """Labels are class numbers; output k is the logit of a label above k (Frank and Hall, 2001)."""

        words, held, losses = ('grade', 'grades'), 'one grade an image', ('cumulative', 'summed')
        score = Figure('within one grade', None, 'share')

        @property
        def outputs(self):
            return len(self.class_names) - 1

        def loss(self, settings, smoothing):
            reduced = jnp.sum if settings.name == 'summed' else jnp.mean
            return lambda outputs, labels: reduced(
                optax.sigmoid_binary_cross_entropy(outputs, self.above(labels)), axis=-1
            )

        def above(self, labels):
            return (labels[:, None] > jnp.arange(self.outputs)).astype(jnp.float32)

        def log(self, outputs, labels, settings):
            return {'grades_off': jnp.abs((outputs > 0).sum(-1) - labels).astype(jnp.float32)}

        def predict(self, outputs):
            return np.asarray(expit(np.asarray(outputs, np.float64)))

        def mean(self, outputs):
            return outputs.mean(axis=0)

        @staticmethod
        def mean_on_device(outputs):
            return jnp.stack(outputs).mean(0)

        def measure(self, outputs, labels, *, confidence, bins, thresholds):
            off = np.abs((outputs > 0).sum(1) - labels)
            loss = optax.sigmoid_binary_cross_entropy(jnp.asarray(outputs), self.above(jnp.asarray(labels))).mean()
            told, further = (
                Figure('within one grade', float((off <= 1).mean()), 'share'),
                [Figure('off', np.float32(off.mean()))],
            )
            return FigureMetrics(
                task=self, examples=len(labels), loss=float(loss), confidence=confidence, told=told, further=further
            )

        def worst(self, outputs, labels, count, thresholds=None):
            grade = (outputs > 0).sum(1)
            order = np.argsort(-np.abs(grade - labels) * (labels >= 0), kind='stable')[:count]
            return [
                Wrong(int(i), GRADES[labels[i]], GRADES[grade[i]]) for i in order if labels[i] not in (-1, grade[i])
            ]

        def columns(self, results, thresholds):
            return [('grade', [self.class_names[grade] for grade in (results > 0.5).sum(1)])]

    return Ordinal


@pytest.fixture(scope='module')
def source(kind):
    """Images whose brightness is their grade."""
    random = np.random.default_rng(0)
    labels = np.arange(48, dtype=np.int32) % 4
    images = np.clip(random.normal(30 + 60 * labels[:, None, None, None], 15, (48, 16, 16, 3)), 0, 255)
    labels[5] = -1
    return jt.ArraySource(images.astype(np.uint8), labels, tasks=(Task('', 'ordinal', GRADES),))


SETTINGS = {
    'strategy': 'linear_probe',
    'learning_rate': 0.1,
    'steps': 30,
    'batch_size': 16,
    'head_init': 'normal',
    'skip_unlabelled': True,
    'progress': False,
    'tensorboard': False,
}


@pytest.mark.usefixtures('compile_once')
def test_it_trains_is_evaluated_and_predicts(source, checkpoints, photos, nowhere):
    result = jt.fine_tune(checkpoints['resnet'], source, **SETTINGS, test_fraction=0.3, run_dir='run', log_every=10)
    losses = [json.loads(line)['train/loss'] for line in (nowhere / 'run/metrics.jsonl').read_text().splitlines()]
    assert losses[-1] < 0.8 * losses[0]
    record = json.loads((nowhere / 'run/result.json').read_text())
    assert record['score_name'] == 'within one grade'
    assert record['score'] == result.metrics.score > 0.6
    assert 'train/grades_off' in (nowhere / 'run/metrics.jsonl').read_text()
    page = (nowhere / 'run/report.html').read_text()
    assert 'Within one grade' in page
    assert 'Grades off in training' in page
    rows = list(csv.DictReader((nowhere / 'run/evaluation/predictions.csv').read_text().splitlines()))
    assert {row['grade'] for row in rows} <= set(GRADES)
    model = load_model('run')
    assert model.network.heads == {'': 3}
    assert model.tasks == (Task('', 'ordinal', GRADES),)
    assert jt.evaluate_model(model, source, flips=True, skip_unlabelled=True).score > 0.6
    prediction.predict_folder('run', photos, 'predicted.csv')
    assert {row['grade'] for row in csv.DictReader((nowhere / 'predicted.csv').read_text().splitlines())} <= set(GRADES)


def test_what_it_does_not_say_that_it_can_is_refused(source, checkpoints, nowhere):
    with pytest.raises(UserError, match='labels of ordinal cannot be mixed'):
        jt.fine_tune(checkpoints['resnet'], source, **SETTINGS, operations=('mixup',), run_dir='run')
    with pytest.raises(UserError, match=r'loss.name=focal does not fit ordinal: auto does, and cumulative, summed'):
        jt.fine_tune(checkpoints['resnet'], source, **SETTINGS, **{'loss.name': 'focal'}, run_dir='run')
    with pytest.raises(UserError, match=r'evaluate.temperature is for one label an image, and there is no such task'):
        jt.fine_tune(checkpoints['resnet'], source, **SETTINGS, temperature=True, run_dir='run')
    assert not (nowhere / 'run').exists()


@pytest.mark.usefixtures('compile_once')
def test_it_is_cross_validated(source, checkpoints, nowhere):
    folds = {'folds': 3, 'run_dir': 'folds', 'afterwards': 'ensemble', 'loss.name': 'summed'}
    result = jt.cross_validate(checkpoints['resnet'], source, **SETTINGS, **folds)
    assert result.score.name == 'within one grade'
    page = (nowhere / 'folds/report.html').read_text()
    assert 'ithin one grade' in page
