"""Settings of evaluation: what is measured at the end, on which views of each picture, and what is shown."""

import dataclasses

from jtransfer import checks
from jtransfer.errors import UserError

CROPS = (1, 5)


@dataclasses.dataclass
class Evaluate:
    """What is measured at the end, and shown.

    With `flips`, `crops` or `scales` the network sees several views of each picture, and the mean of its softmax
    probabilities over the views is what is measured (test-time augmentation). That is for the evaluation at the end and
    for predictions; the validation that chooses a checkpoint while training takes the plain view.

    Attributes:
        batch_size: images a forward pass.
        confidence: of the accuracy's interval (Wilson), in (0, 1).
        calibration_bins: equal-width confidence bins of the expected calibration error.
        temperature: divide the logits by the number that makes the validation part's cross-entropy least (Guo et al.,
            2017), in the weights of the trained network itself; for one label an image.
        most_wrong: how many of the most confidently wrong images the report shows.
        flips: the mirror image (left and right exchanged) of every view too.
        crops: cut from the resized picture: 1, the centre, or 5, the four corners and the centre.
        scales: sides of the network input, as multiples of the network's own; each > 0, no two alike. For networks
            without a fixed input size; each size is compiled once.
    """

    batch_size: int = 256
    confidence: float = 0.95
    calibration_bins: int = 15
    temperature: bool = False
    most_wrong: int = 24
    flips: bool = False
    crops: int = 1
    scales: tuple[float, ...] = (1.0,)


def validate_evaluate(evaluate: Evaluate) -> None:
    """Raises `UserError` for values that cannot be."""
    checks.at_least('evaluate.batch_size', evaluate.batch_size, 1)
    checks.at_least('evaluate.calibration_bins', evaluate.calibration_bins, 1)
    checks.at_least('evaluate.most_wrong', evaluate.most_wrong, 0)
    if not 0 < evaluate.confidence < 1:
        raise UserError(f'evaluate.confidence={evaluate.confidence} must be between 0 and 1')
    if evaluate.crops not in CROPS:
        raise UserError(f'evaluate.crops={evaluate.crops} must be 1 (the centre) or 5 (four corners and the centre)')
    if not evaluate.scales:
        raise UserError('evaluate.scales is empty; (1.0,) is the size of the network alone')
    for scale in evaluate.scales:
        checks.above('evaluate.scales: each', scale, 0)
    if len(set(evaluate.scales)) < len(evaluate.scales):
        raise UserError(f'evaluate.scales={evaluate.scales} must not have the same scale twice')
