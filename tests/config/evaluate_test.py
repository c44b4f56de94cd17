"""Settings of evaluation: what is refused, in one line that says what would be right."""

import pytest

from jtransfer import config as config_lib
from jtransfer.config.evaluate import Evaluate
from jtransfer.errors import UserError


@pytest.mark.parametrize('evaluate', [Evaluate(), Evaluate(flips=True, crops=5, scales=(0.5, 1.0, 1.25))])
def test_settings_that_can_be(evaluate):
    evaluate.check('evaluate.')


@pytest.mark.parametrize(
    ('evaluate', 'message'),
    [
        (Evaluate(batch_size=0), 'evaluate.batch_size=0 must be at least 1'),
        (Evaluate(calibration_bins=0), 'evaluate.calibration_bins=0 must be at least 1'),
        (Evaluate(most_wrong=-1), 'evaluate.most_wrong=-1 must be at least 0'),
        (Evaluate(confidence=1.0), 'evaluate.confidence=1.0 must be between 0 and 1'),
        (Evaluate(crops=3), r'evaluate.crops=3 must be 1 \(the centre\) or 5 \(four corners and the centre\)'),
        (Evaluate(crops=0), 'evaluate.crops=0 must be 1'),
        (Evaluate(scales=()), 'evaluate.scales is empty'),
        (Evaluate(scales=(1.0, 0.0)), 'evaluate.scales: each=0.0 must be above 0'),
        (Evaluate(scales=(float('nan'),)), 'evaluate.scales: each=nan must be above 0'),
        (Evaluate(scales=(1.0, 1.5, 1.0)), 'must not have the same scale twice'),
    ],
)
def test_settings_that_cannot_be_are_refused(evaluate, message):
    with pytest.raises(UserError, match=message) as raised:
        evaluate.check('evaluate.')
    assert '\n' not in str(raised.value)


def test_the_whole_configuration_checks_them_and_reads_them_from_text():
    config = config_lib.Config(
        model=config_lib.Model(checkpoint='jtransfer/resnet_glyphs'), train=config_lib.Train(steps=1)
    )
    for field, value in (('flips', 'true'), ('crops', '5'), ('scales', '(1,1.5)')):
        config = config_lib.replace(config, f'evaluate.{field}', value)
    assert config_lib.validate(config).evaluate == Evaluate(flips=True, crops=5, scales=(1.0, 1.5))
    with pytest.raises(UserError, match=r'evaluate\.crops=2'):
        config_lib.validate(config_lib.replace(config, 'evaluate.crops', 2))
