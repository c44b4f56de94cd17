"""Records of a finished run, damaged in every way: what reads them gives a result or one line."""

import json
import math
import shutil
import warnings

import numpy as np
import pytest

from jtransfer.config import replace
from jtransfer.data.parts import load_parts, split_record
from jtransfer.errors import UserError
from jtransfer.experiments.crossval import compare
from jtransfer.experiments.data.reopen import parts_of_run
from jtransfer.experiments.predict import predict
from jtransfer.experiments.predict.settings import PredictionSettings
from jtransfer.experiments.run.directory import RunDirectory, is_run, read_config, read_record, read_result
from jtransfer.experiments.run.outputs import Outputs, write_outputs
from jtransfer.experiments.run.records import NEEDED_OF_FOLDS, RunRecord, read_split_file
from jtransfer.experiments.soup.members import open_members
from jtransfer.tasks.metrics.figure import Figure
from jtransfer.train.logs.log import MetricLog

READ_BY = {
    'config.json': ('resume', 'reopen', 'predict'),
    'result.json': ('compare', 'fold', 'resume'),
    'split.json': ('reopen', 'soup'),
    'evaluation/outputs.npz': ('compare',),
}
# Still a record of some parts.
NO_DAMAGE = {'split.json': ('half nested', 'digits')}
WAYS = {
    'empty': lambda content: b'',
    'cut off': lambda content: content[: len(content) // 2],
    'binary': lambda content: bytes(range(256)) * 4,
    'zeros': lambda content: bytes(len(content)),
    'nested': lambda content: b'{"a":' * 200_000 + b'\n',
    'half nested': lambda content: b'{"name": ' + b'[' * 800 + b']' * 800 + b'}\n',
    'digits': lambda content: content.replace(b'0', b'1' * 5000),
    'list': lambda content: b'[]\n',
    'no text': lambda content: content.replace(b'"', b'"\\u0000', 1),
}
VALUES = (None, True, 1e999, 10**30, 'x\n', [[]], {'': None})
FIELDS = {
    'result.json': (
        'schema',
        'part',
        'score_name',
        'score',
        'score_interval',
        'validation',
        'steps',
        'set_aside',
        'thresholds',
        'backbone_learning_rate_scales',
    ),
    'split.json': ('train', 'test', 'class_names'),
    'config.json': ('name', 'seed', 'data', 'evaluate'),
}
RESULT = {
    'part': 'test',
    'examples': 15,
    'schema': 2,
    'score_name': 'accuracy',
    'score': 0.5,
    'score_unit': 'share',
    'score_interval': [0.25, 0.75],
    'confidence': 0.95,
    'loss': 1.0,
    'validation': None,
    'chosen_step': 2,
    'steps': 2,
    'backbone_learning_rate_scales': [0.1, 1.0],
    'trainable_parameters': 3,
    'parameters': 10,
    'train_examples': 15,
    'set_aside': [],
    'seconds': 1.0,
}


@pytest.fixture(scope='module')
def config(tiny_config):
    return tiny_config(**{'train.steps': 2, 'data.validation_fraction': 0.2})


@pytest.fixture(scope='module')
def run(config, checkpoints, tmp_path_factory):
    """What a finished run leaves, of one that was not trained."""
    path = tmp_path_factory.mktemp('finished') / 'run'
    parts = load_parts(config.data, config.seed)
    directory = RunDirectory(path, resumes=False)
    directory.create(config)
    directory.write_split(split_record(parts))
    log = MetricLog(path, tensorboard=False)
    for step in (1, 2):
        log.write(step, {'train/loss': 1 / step})
    log.close()
    shutil.copy(checkpoints['resnet'], path / 'model.safetensors')
    (path / 'evaluation').mkdir()
    said = Outputs(parts.test.ids, {'': np.zeros((len(parts.test), 3), np.float32)}, parts.test.labels)
    write_outputs(path / 'evaluation' / 'outputs.npz', said)
    directory.finish(RESULT)
    return path


@pytest.fixture
def copy(run, tmp_path):
    shutil.copytree(run, tmp_path / 'run')
    return tmp_path / 'run'


def attempts(copy, run, config):
    """What reads the records of a run, by what it is."""
    again = replace(replace(config, 'run_dir', str(copy)), 'train.resume', 'auto')
    return {
        'resume': lambda: RunDirectory.find(again),
        'reopen': lambda: parts_of_run(copy),
        'compare': lambda: compare.compare(run, copy),
        'soup': lambda: open_members([run, copy], 'uniform'),
        'fold': lambda: read_result(copy, NEEDED_OF_FOLDS),
        'predict': lambda: predict._open(str(copy), PredictionSettings(), True),
    }


def outcome(attempt):
    """The line that an attempt ends in; empty where it has a result. Anything else ends the test."""
    said = ''
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            attempt()
    except UserError as error:
        said = str(error)
    assert '\n' not in said
    assert len(said) < 2000
    return said


def test_whole_records_are_read(copy, run, config):
    said = {name: outcome(attempt) for name, attempt in attempts(copy, run, config).items()}
    assert 'holds a finished run of this configuration' in said.pop('resume')
    assert not any(said.values())


@pytest.mark.parametrize('record', READ_BY)
def test_a_damaged_record_is_a_result_or_one_line(copy, run, config, record):
    content = (copy / record).read_bytes()
    for way, damage in WAYS.items():
        (copy / record).write_bytes(damage(content))
        said = [outcome(attempts(copy, run, config)[name]) for name in READ_BY[record]]
        if damage(content) != content and way not in NO_DAMAGE.get(record, ()):
            assert any(record in line and 'damaged' in line for line in said), (way, said)


@pytest.mark.parametrize('record', FIELDS)
def test_a_field_of_another_type_is_a_result_or_one_line(copy, run, config, record):
    values = json.loads((copy / record).read_text())
    for field in FIELDS[record]:
        without = {key: value for key, value in values.items() if key != field}
        for changed in (without, *({**values, field: value} for value in VALUES)):
            (copy / record).write_text(json.dumps(changed))
            for name in READ_BY[record]:
                outcome(attempts(copy, run, config)[name])


@pytest.mark.parametrize('record', ['split.json', 'metrics.jsonl'])
def test_a_run_to_be_resumed_is_looked_at_before_anything_is_read(copy, config, record):
    (copy / 'result.json').unlink()
    again = replace(replace(config, 'run_dir', str(copy)), 'train.resume', 'auto')
    assert RunDirectory.find(again).resumes
    content = (copy / record).read_bytes()
    for way, damage in WAYS.items():
        if way not in NO_DAMAGE.get(record, ()):
            (copy / record).write_bytes(damage(content) + b'\n')
            assert f'{record} is damaged' in outcome(lambda: RunDirectory.find(again))


def test_a_damaged_configuration_is_not_taken_for_the_defaults(copy, tmp_path):
    (copy / 'config.json').write_text('{"evaluate": ')
    with pytest.raises(UserError, match=r'config\.json is damaged: .*; config\.py beside it says the same'):
        predict.evaluate_checkpoint(str(copy), tmp_path / 'out', source='digits')
    with pytest.raises(UserError, match=r'config\.json is damaged'):
        is_run(copy)
    (copy / 'config.json').write_text('{"architectures": []}')
    assert not is_run(copy)
    with pytest.raises(UserError, match=r"config\.json: the configuration has no field 'architectures'"):
        read_config(copy)


def test_thresholds_of_other_outputs_are_refused(copy, tmp_path):
    record = json.loads((copy / 'result.json').read_text())
    (copy / 'result.json').write_text(json.dumps({**record, 'thresholds': {'': [0.5]}}))
    with pytest.raises(UserError, match=r'result\.json is damaged: its thresholds are not those of the outputs'):
        predict.evaluate_checkpoint(str(copy), tmp_path / 'out')


def test_a_record_of_an_earlier_version_is_read(copy):
    (copy / 'result.json').write_text('{"accuracy": 0.5, "part": "test", "loss": 1, "seconds": 2}')
    assert read_result(copy, ('part', 'score', 'loss', 'seconds'))['score'] == 0.5
    assert 'score' not in read_result(copy)
    (copy / 'split.json').write_text('{"class_names": []}')
    assert read_split_file(copy / 'split.json') == {'class_names': []}


def test_a_record_of_today_is_read_in_its_form(tmp_path):
    whole = {**RESULT, 'validation': {'score': 0.75, 'loss': None}}
    (tmp_path / 'result.json').write_text(json.dumps(whole))
    record = read_record(tmp_path, ('score', 'validation'))
    assert record.score == Figure('accuracy', 0.5, 'share', (0.25, 0.75))
    assert (record.validation.score.value, record.validation.score.text) == (0.75, '75.0%')
    assert math.isnan(record.validation.loss)
    assert record['steps'] == 2
    assert RunRecord(RESULT).validation is None
    assert not RunRecord({'part': 'test'}).tested


def test_the_first_runs_told_an_accuracy_alone(tmp_path):
    (tmp_path / 'result.json').write_text('{"accuracy": 0.5, "best_validation_accuracy": 0.25, "part": "test"}')
    record = read_record(tmp_path, ('score',))
    assert (record.score.name, record.score.text, record['score']) == ('accuracy', '50.0%', 0.5)
    assert record.validation.score.text == '25.0%'


def test_a_newer_schema_is_refused_in_a_line(tmp_path):
    (tmp_path / 'result.json').write_text('{"schema": 3, "score": {}}')
    with pytest.raises(UserError, match=r'result.json was written by a newer version .*\(schema 3; .* up to 2\)'):
        read_record(tmp_path)
