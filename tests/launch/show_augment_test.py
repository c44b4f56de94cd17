"""`python -m launch.show_augment` as a person runs it."""

from PIL import Image

from tests.launch.process import ROOT, launch


def test_a_picture_of_the_draws(tmp_path):
    done = launch(
        tmp_path,
        'show_augment',
        f'--config={ROOT}/configs/quickstart.py',
        "--config.augment.operations=('rotate(15)', 'cutmix')",
        '--images=2',
        '--draws=3',
    )
    assert 'rotate(degrees=(-15.0, 15.0)' in done.stdout
    picture = tmp_path / 'runs' / 'quickstart-augment.png'
    assert 'runs/quickstart-augment.png: 3 draws beside each image' in done.stdout
    with Image.open(picture) as image:
        assert image.format == 'PNG'


def test_a_misspelt_operation_is_one_line(tmp_path):
    done = launch(
        tmp_path,
        'show_augment',
        f'--config={ROOT}/configs/quickstart.py',
        "--config.augment.operations=('rotat(15)',)",
        status=2,
        alone=True,
    )
    assert done.stderr.strip() == (
        "error: augment.operations[0]='rotat(15)': there is no operation 'rotat'. Did you mean 'rotate'?"
    )
    assert not (tmp_path / 'runs').exists()
