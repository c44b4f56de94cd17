"""A checkpoint on other data, on its own data again, and on pictures without labels."""

import csv
import json
import os
import pathlib
import shutil
import sys
import warnings

import numpy as np
import pytest
from PIL import Image

import jtransfer as jt
from jtransfer.errors import DataWarning, UserError
from jtransfer.experiments.predict import predict
from jtransfer.experiments.run import finetune
from jtransfer.experiments.run.directory import read_result
from jtransfer.pretrained.model import load_model

pytestmark = [
    pytest.mark.usefixtures('compile_once'),
    # The run that the tests share has three; that they are counted is asserted where it matters.
    pytest.mark.filterwarnings('ignore:.*unreadable images? left out:jtransfer.errors.DataWarning'),
]


def table(path):
    with open(path, newline='') as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope='module')
def trained(tiny_config, photos, tmp_path_factory, compile_once):
    """A run on a folder with an unreadable picture in it, in bfloat16; and the folder."""
    folder = tmp_path_factory.mktemp('trained')
    shutil.copytree(photos, folder / 'photos')
    for name in ('ant', 'bee', 'cat'):
        (folder / 'photos' / name / 'cut.png').write_bytes((photos / name / '00.png').read_bytes()[:300])
    settings = {
        'run_dir': str(folder / 'run'),
        'data.source': f'folder:{folder / "photos"}',
        'data.skip_unreadable': True,
        'data.validation_fraction': 0.2,
        'model.dtype': 'bfloat16',
        'train.steps': 2,
        'evaluate.confidence': 0.8,
    }
    finetune.run(tiny_config(**settings))
    return folder


def test_a_run_on_its_own_data_gives_its_own_numbers(trained, nowhere):
    run = trained / 'run'
    metrics, part = predict.evaluate_checkpoint(str(run), 'out')
    record = read_result(run)
    assert part == 'test'
    assert (metrics.top1, metrics.loss) == (record['score'], record['loss'])
    assert list(metrics.top1_interval) == record['score_interval']
    for name in ('metrics.json', 'per_class.csv', 'confusion_matrix.csv', 'predictions.csv'):
        assert (nowhere / 'out' / name).read_bytes() == (run / 'evaluation' / name).read_bytes()
    assert 'unreadable' in (nowhere / 'out' / 'report.html').read_text()


@pytest.mark.parametrize('part', ['train', 'validation'])
def test_any_part_of_a_run_can_be_evaluated(trained, nowhere, part):
    metrics, chosen = predict.evaluate_checkpoint(str(trained / 'run'), 'out', part=part)
    split = json.loads((trained / 'run' / 'split.json').read_text())[part]
    assert chosen == part
    assert [row['id'] for row in table('out/predictions.csv')] == [n for n in split['ids'] if 'cut' not in n]
    assert metrics.examples == split['count'] - sum('cut' in name for name in split['ids'])
    if part == 'validation':
        assert metrics.top1 == read_result(trained / 'run')['validation']['score']


def test_a_run_whose_images_changed_is_not_taken_for_the_same(trained, nowhere):
    extra = trained / 'photos' / 'bee' / 'extra.png'
    shutil.copy(trained / 'photos' / 'bee' / '00.png', extra)
    try:
        with pytest.raises(UserError, match=r'does not hold the images of the run .* any more'):
            predict.evaluate_checkpoint(str(trained / 'run'), 'out')
    finally:
        extra.unlink()
    assert not list(nowhere.iterdir())


def test_a_checkpoint_on_a_folder_with_its_classes_in_another_order(trained, photos, nowhere):
    for number, name in enumerate(('cat', 'ant')):
        shutil.copytree(photos / name, nowhere / 'mine' / 'train' / name)
        shutil.copytree(photos / name, nowhere / 'mine' / 'test' / name)
        (nowhere / 'mine' / 'test' / name / f'0{number}.png').unlink()
    metrics, part = predict.evaluate_checkpoint(str(trained / 'run'), 'out', source='folder:mine')
    assert (part, metrics.examples) == ('test', 22)
    assert metrics.class_names == ('ant', 'bee', 'cat')
    assert [entry.examples for entry in metrics.per_class] == [11, 0, 11]
    rows = table('out/predictions.csv')
    assert {row['label'] for row in rows if '/cat/' in row['id']} == {'cat'}
    assert np.mean([row['label'] == row['predicted'] for row in rows]) == pytest.approx(metrics.top1)


@pytest.mark.parametrize('part', ['', 'test'])
def test_a_folder_need_not_hold_every_class_to_evaluate_on(trained, photos, nowhere, part):
    folder = nowhere / 'mine' / part
    shutil.copytree(photos / 'bee', folder / 'bee')
    if part:  # nor a training part
        (folder / 'cat').mkdir()
        (folder / 'unknown').mkdir()
    said = []
    metrics, chosen = predict.evaluate_checkpoint(str(trained / 'run'), 'out', source='folder:mine', say=said.append)
    assert chosen == (part or 'all')
    assert [(c.name, c.examples) for c in metrics.per_class] == [('ant', 0), ('bee', 12), ('cat', 0)]
    assert (metrics.per_class[0].accuracy, metrics.per_class[0].precision, metrics.per_class[0].f1) == (None,) * 3
    assert metrics.balanced_accuracy == metrics.top1
    line = 'has no example of 2 of the 3 classes (ant, cat): they have no figures of their own'
    assert said[-1] == f'{"the test part of " if part else ""}folder:mine {line}'
    assert line in (nowhere / 'out' / 'report.html').read_text()
    assert table('out/per_class.csv')[0] == {'class': 'ant', 'examples': '0', 'accuracy': '', 'precision': '', 'f1': ''}
    model = load_model(trained / 'run')
    assert jt.evaluate_model(model, 'folder:mine').examples == 12
    shutil.copytree(photos / 'ant', folder / 'bees')
    with pytest.raises(UserError, match=r"has the class 'bees' \(1 such\), .* ant, bee, cat\. Did you mean 'bee'\?"):
        predict.evaluate_checkpoint(str(trained / 'run'), 'again', source='folder:mine')


def test_pictures_that_a_run_skipped_are_not_skipped_elsewhere(trained, nowhere):
    with pytest.raises(UserError, match=r'ant/cut\.png is a truncated or damaged PNG; skip_unreadable'):
        predict.evaluate_checkpoint(str(trained / 'run'), 'out', source=f'folder:{trained / "photos"}')
    with pytest.raises(UserError, match=r'ant/cut\.png is a truncated or damaged PNG; skip_unreadable'):
        predict.predict_folder(str(trained / 'run'), trained / 'photos', 'table.csv')
    assert not list(nowhere.iterdir())


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'source': ''}, '^source is missing'),
        ({'source': 'folder:nowhere'}, 'nowhere'),
        ({'source': 'digits', 'part': 'tst'}, "Did you mean 'test'"),
        ({'source': 'digits', 'part': 'test'}, 'digits has no test part; it has train'),
        ({'source': 'digits'}, "digits has the class '0' .* does not know; it knows p, q, r, s"),
    ],
)
def test_what_cannot_be_evaluated(checkpoints, nowhere, arguments, message):
    with pytest.raises(UserError, match=message):
        predict.evaluate_checkpoint(checkpoints['resnet'], 'out', **arguments)
    assert not list(nowhere.iterdir())


def test_results_are_never_written_over_others(trained, nowhere):
    (nowhere / 'out').mkdir()
    (nowhere / 'out' / 'mine.txt').touch()
    (nowhere / 'file').touch()
    for output in ('out', 'file'):
        with pytest.raises(UserError, match=f'^output={output} exists already; name a new folder'):
            predict.evaluate_checkpoint(str(trained / 'run'), output)
    assert sorted(path.name for path in nowhere.rglob('*')) == ['file', 'mine.txt', 'out']


def test_predictions_are_those_of_the_evaluation(trained, nowhere):
    count, skipped = predict.predict_folder(str(trained / 'run'), trained / 'photos', 'a.csv', skip_unreadable=True)
    assert count == 36
    assert skipped == tuple(str(trained / 'photos' / name / 'cut.png') for name in ('ant', 'bee', 'cat'))
    rows = table('a.csv')
    assert list(rows[0]) == ['class', 'probability', 'file']
    assert [row['file'] for row in rows] == sorted(row['file'] for row in rows)
    predicted = {row['file'].removeprefix(f'{trained}/photos/'): row for row in rows}
    evaluated = table(trained / 'run' / 'evaluation' / 'predictions.csv')
    assert len(evaluated) == read_result(trained / 'run')['examples']
    for row in evaluated:
        assert predicted[row['id']]['class'] == row['predicted']
        # bfloat16 numbers depend a little on where in a batch a picture stands.
        assert float(predicted[row['id']]['probability']) == pytest.approx(float(row['probability']), abs=0.01)
    predict.predict_folder(str(trained / 'run'), trained / 'photos', 'b.csv', skip_unreadable=True)
    assert pathlib.Path('a.csv').read_bytes() == pathlib.Path('b.csv').read_bytes()


def test_predicting_relative_paths_sub_folders_one_picture_and_odd_names(checkpoints, photos, nowhere, monkeypatch):
    (nowhere / 'mine' / 'deep').mkdir(parents=True)
    odd = os.fsdecode(b'\xff.png')
    for name in ('deep/z.png', 'comma, "quoted".png', 'ä.png', odd, '.hidden.png'):
        shutil.copy(photos / 'ant' / '00.png', f'mine/{name}')
    (nowhere / 'mine' / 'notes.txt').touch()
    with pytest.warns(DataWarning) as told:
        assert predict.predict_folder(checkpoints['resnet'], 'mine', 'table.csv') == (4, ())
    assert [str(each.message) for each in told] == [
        '1 file in mine is no image and was left out (.txt 1)',
        '1 hidden file in mine left out',
    ]
    files = [row['file'] for row in table('table.csv')]
    assert files == ['mine/comma, "quoted".png', 'mine/deep/z.png', 'mine/ä.png', 'mine/\\xff.png']
    monkeypatch.setenv('HOME', str(nowhere))
    assert predict.predict_folder(checkpoints['resnet'], '~/mine/ä.png', '~/out/one.csv') == (1, ())
    one, among = table('out/one.csv')[0], table('table.csv')[2]
    assert (one['file'], one['class']) == (f'{nowhere}/mine/ä.png', among['class'])
    assert not (nowhere / '~').exists()
    assert float(one['probability']) == pytest.approx(float(among['probability']), abs=2e-6)


def test_what_cannot_be_predicted(checkpoints, photos, nowhere):
    (nowhere / 'empty').mkdir()
    (nowhere / 'mixed').mkdir()
    (nowhere / 'mixed' / 'b.png').write_bytes(b'not a picture')
    before = sorted(nowhere.rglob('*'))
    for images, output, message in (
        ('nowhere', 'table.csv', 'nowhere: there is no such folder'),
        ('empty', 'table.csv', 'empty holds no images'),
        ('mixed', 'table.csv', r'mixed/b\.png is truncated or not an image; skip_unreadable'),
        (photos, 'empty', '^output=empty is a folder'),
    ):
        with pytest.raises(UserError, match=message):
            predict.predict_folder(checkpoints['resnet'], images, output)
    with pytest.raises(UserError, match=r'none of 1 images can be read, the first of them mixed/b\.png'):
        predict.predict_folder(checkpoints['resnet'], 'mixed', 'table.csv', skip_unreadable=True)
    assert sorted(nowhere.rglob('*')) == before


@pytest.mark.parametrize('settings', [{'flips': True}, {'flips': True, 'crops': 5, 'scales': ('1', '1.5')}])
def test_several_views_in_evaluation_and_prediction(trained, nowhere, settings):
    run = str(trained / 'run')
    metrics, _ = predict.evaluate_checkpoint(run, 'views', **settings)
    plain, _ = predict.evaluate_checkpoint(run, 'plain')
    assert metrics.loss != plain.loss
    assert metrics.confidence == plain.confidence == 0.8
    name = 'flips, 5 crops, scales 1 1.5' if 'crops' in settings else 'flips'
    assert name in (nowhere / 'views' / 'report.html').read_text()
    predict.predict_folder(run, trained / 'photos', 'a.csv', skip_unreadable=True, **settings)
    predicted = {row['file'].removeprefix(f'{trained}/photos/'): row for row in table('a.csv')}
    plain_rows = {row['id']: row for row in table('plain/predictions.csv')}
    evaluated = table('views/predictions.csv')
    assert any(row['probability'] != plain_rows[row['id']]['probability'] for row in evaluated)
    for row in evaluated:
        assert predicted[row['id']]['class'] == row['predicted']
        assert float(predicted[row['id']]['probability']) == pytest.approx(float(row['probability']), abs=0.01)


def test_a_run_is_scored_on_its_views_and_chosen_on_the_plain_one(tiny_config, nowhere):
    settings = {'data.validation_fraction': 0.2, 'train.steps': 2}
    plain = finetune.run(tiny_config(**settings, run_dir='plain'))
    result = finetune.run(tiny_config(**settings, **{'evaluate.flips': True, 'evaluate.crops': 5}, run_dir='views'))
    records = [read_result(name) for name in ('plain', 'views')]
    assert [record['test_time_augmentation'] for record in records] == ['none', 'flips, 5 crops']
    assert records[0]['validation']['score'] == records[1]['validation']['score']
    assert result.metrics.loss != plain.metrics.loss
    lines = [(nowhere / name / 'metrics.jsonl').read_text().splitlines() for name in ('plain', 'views')]
    validation = [[json.loads(line) for line in run if 'validation' in line] for run in lines]
    assert validation[0]
    assert [line.get('validation/loss') for line in validation[0]] == [
        line.get('validation/loss') for line in validation[1]
    ]
    assert 'flips, 5 crops' in (nowhere / 'views' / 'report.html').read_text()
    again, _ = predict.evaluate_checkpoint('views', 'again')
    assert again.loss == result.metrics.loss


def test_a_run_that_its_network_cannot_be_scored_on_writes_nothing(tiny_config, checkpoints, nowhere):
    settings = {'model.checkpoint': checkpoints['vit'], 'evaluate.scales': (1.0, 2.0), 'run_dir': 'run'}
    with pytest.raises(UserError, match=r'evaluate\.scales=2 is not for this network'):
        finetune.run(tiny_config(**settings))
    assert not list(nowhere.iterdir())


def test_the_views_of_a_run_are_taken_unless_others_are_given(trained, tmp_path, nowhere):
    run = tmp_path / 'run'
    shutil.copytree(trained / 'run', run)
    config = json.loads((run / 'config.json').read_text())
    config['evaluate']['flips'] = True
    (run / 'config.json').write_text(json.dumps(config))
    own, _ = predict.evaluate_checkpoint(str(run), 'own')
    flips, _ = predict.evaluate_checkpoint(str(trained / 'run'), 'flips', flips=True)
    without, _ = predict.evaluate_checkpoint(str(run), 'without', flips=False)
    plain, _ = predict.evaluate_checkpoint(str(trained / 'run'), 'plain')
    assert own.loss == flips.loss
    assert without.loss == plain.loss != own.loss


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'crops': 3}, r'^crops=3 must be 1 \(the centre\) or 5'),
        ({'scales': ('1', 'x')}, '^scales=1,x must be numbers'),
        ({'scales': (-1.0,)}, 'must be above 0'),
        ({'scales': (1.5,)}, r'evaluate\.scales=1\.5 is not for this network: an image of 24×24 pixels'),
    ],
)
def test_views_that_cannot_be_are_refused_before_an_image_is_read(checkpoints, nowhere, settings, message):
    (nowhere / 'images').mkdir()
    (nowhere / 'images' / 'broken.png').write_bytes(b'not a picture')
    with pytest.raises(UserError, match=message):
        predict.predict_folder(checkpoints['vit'], 'images', 'table.csv', **settings)
    with pytest.raises(UserError, match=message):
        predict.evaluate_checkpoint(checkpoints['vit'], 'out', source='folder:images', **settings)
    assert sorted(path.name for path in nowhere.iterdir()) == ['images']


def test_what_is_left_out_is_said(checkpoints, photos, nowhere, monkeypatch):
    (nowhere / 'mine').mkdir()
    shutil.copy(photos / 'ant' / '00.png', 'mine/a.png')
    for name in ('b.psd', 'c.PSD', 'd.svg', 'e.txt'):
        (nowhere / 'mine' / name).touch()
    with pytest.warns(DataWarning) as told:
        predict.predict_folder(checkpoints['resnet'], 'mine', 'a.csv')
    assert [str(each.message) for each in told if each.category is DataWarning] == [
        '3 files in mine are images of kinds that are not read and were left out (.psd 2, .svg 1)',
        '1 file in mine is no image and was left out (.txt 1)',
    ]
    pathlib.Path('mine/a.png').unlink()
    with pytest.raises(UserError, match=r'mine holds no images; 3 files in mine are images of kinds that are not read'):
        predict.predict_folder(checkpoints['resnet'], 'mine', 'a.csv')
    monkeypatch.setitem(sys.modules, 'pillow_heif', None)
    pathlib.Path('mine/f.HEIC').write_bytes(b'\0\0\0\x18ftypheic\0\0\0\0mif1heic')
    with pytest.raises(UserError, match=r'mine/f\.HEIC is a HEIC image, .*pip install'):
        predict.predict_folder(checkpoints['resnet'], 'mine', 'a.csv')


def test_the_range_of_values_and_the_limit_of_pixels_are_those_of_the_run_or_given(trained, nowhere):
    rng = np.random.default_rng(0)
    for name in ('ant', 'bee'):
        for folder in ('deep', 'same'):
            (nowhere / folder / name).mkdir(parents=True)
        for number in range(2):
            values = rng.integers(0, 4096, (32, 32), np.uint16)
            Image.fromarray(values).save(f'deep/{name}/{number}.png')
            Image.fromarray(np.round(values / 4095 * 255).astype(np.uint8)).save(f'same/{name}/{number}.png')
    shutil.copytree(trained / 'run', 'ranged')
    config = json.loads(pathlib.Path('ranged/config.json').read_text())
    config['data']['pixel_range'], config['data']['max_pixels'] = [0.0, 4095.0], 1024
    pathlib.Path('ranged/config.json').write_text(json.dumps(config))
    plain = str(trained / 'run')
    with warnings.catch_warnings():
        warnings.simplefilter('error', DataWarning)
        predict.predict_folder(plain, 'same', 'same.csv')
        predict.predict_folder('ranged', 'deep', 'run.csv')
        predict.predict_folder(plain, 'deep', 'given.csv', pixel_range=('0', '4095'))
        expected, _ = predict.evaluate_checkpoint(plain, 'a', source='folder:same')
        of_run, _ = predict.evaluate_checkpoint('ranged', 'b', source='folder:deep')
        given, _ = predict.evaluate_checkpoint(plain, 'c', source='folder:deep', pixel_range=(0.0, 4095.0))
    numbers = [[row['probability'] for row in table(f'{name}.csv')] for name in ('same', 'run', 'given')]
    assert numbers[0] == numbers[1] == numbers[2]
    assert expected.loss == of_run.loss == given.loss
    with pytest.warns(DataWarning, match='4 of 4 images have 16 bits'):
        predict.predict_folder(plain, 'deep', 'dark.csv')
    with pytest.raises(UserError, match=r'has 32x32 pixels .*; 1,023 are allowed; max_pixels allows more'):
        predict.predict_folder('ranged', 'deep', 'x.csv', max_pixels=1023)
    with pytest.raises(UserError, match=r'^pixel_range=5 must be two numbers'):
        predict.predict_folder(plain, 'deep', 'x.csv', pixel_range=('5',))


def test_what_leads_out_of_the_images_is_refused_where_that_is_asked_for(tmp_path):
    Image.new('RGB', (8, 8)).save(tmp_path / 'elsewhere.png')
    (tmp_path / 'own').mkdir()
    (tmp_path / 'own' / 'a.png').symlink_to(tmp_path / 'elsewhere.png')
    (tmp_path / 'own' / 'table.csv').write_text('path,label\n../elsewhere.png,a\n')
    checkpoint = 'jtransfer/resnet_glyphs'
    with pytest.raises(UserError, match=r'a\.png leads out of .*own, which data\.confine_paths forbids'):
        predict.predict_folder(checkpoint, tmp_path / 'own', tmp_path / 'p.csv', confine_paths=True)
    source = f'csv:{tmp_path / "own" / "table.csv"}'
    with pytest.raises(UserError, match=r'row 1: \.\./elsewhere\.png leads out of'):
        predict.evaluate_checkpoint(checkpoint, tmp_path / 'e', source=source, confine_paths=True)
