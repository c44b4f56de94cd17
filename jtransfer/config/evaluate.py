"""Settings of evaluation: what is measured at the end, on which views of each picture, and what is shown."""

import dataclasses

from jtransfer import checks
from jtransfer.config.part import Part
from jtransfer.errors import UserError

CROPS = (1, 5)


@dataclasses.dataclass
class Evaluate(Part):
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

    def check(self, where: str) -> None:
        """As `Part.check`."""
        checks.at_least(f'{where}batch_size', self.batch_size, 1)
        checks.at_least(f'{where}calibration_bins', self.calibration_bins, 1)
        checks.at_least(f'{where}most_wrong', self.most_wrong, 0)
        if not 0 < self.confidence < 1:
            raise UserError(f'{where}confidence={self.confidence} must be between 0 and 1')
        if self.crops not in CROPS:
            raise UserError(f'{where}crops={self.crops} must be 1 (the centre) or 5 (four corners and the centre)')
        if not self.scales:
            raise UserError(f'{where}scales is empty; (1.0,) is the size of the network alone')
        for scale in self.scales:
            checks.above(f'{where}scales: each', scale, 0)
        if len(set(self.scales)) < len(self.scales):
            raise UserError(f'{where}scales={self.scales} must not have the same scale twice')
