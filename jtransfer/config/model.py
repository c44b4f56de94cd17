"""The part of the configuration that says what network is trained, and what it starts from."""

import dataclasses

from jtransfer import checks
from jtransfer.config.fields import parse_options
from jtransfer.config.part import Part
from jtransfer.errors import UserError


@dataclasses.dataclass
class Model(Part):
    """The network and the weights it starts from.

    Attributes:
        checkpoint: where the weights come from: a catalogue name (`timm/resnet50.a1_in1k`; `python -m launch.models`
            lists them), `hf://OWNER/REPOSITORY`, a URL, a file of weights in any known format, or a run directory.
            Empty: random weights for the network `name`.
        name: the architecture (`resnet50`, `vit_s16`, …). Empty: the one the checkpoint is known to be of; a file of
            weights alone does not say.
        image_size: side of the square network input, or its height, pixels. 0: the checkpoint's, or the architecture's
            default.
        image_width: width of a network input that is not square, pixels. 0: square.
        input_channels: 3, or 1: pictures become grey, and the first kernel is summed over the colours. 0: the
            checkpoint's.
        checkpoint_classes: names of the outputs of the checkpoint's own head, where it does not state them: in its
            order between commas, or a file with one name a line. The head is kept when they are the classes of the
            data. Empty: as the checkpoint states them.
        options: fields of the backbone that these weights need otherwise than is known of them, `gelu=erf,eps=1e-5`.
        preprocessing: fields of `jtransfer.inputs.image.ImagePreprocessor` that these weights need otherwise than the
            checkpoint says, or where it says nothing: `interpolation=bilinear,crop_fraction=0.875,mean=0.5,std=0.5`.
        dtype: computation type, `float32` or `bfloat16`; parameters stay float32.
        drop_path: largest stochastic-depth probability, reached at the last block, in [0, 1).
        dropout: dropout probability before the head, in [0, 1).
        head_init: how a new head starts: `zeros` or `normal` (truncated, standard deviation 0.02).
    """

    checkpoint: str = ''
    name: str = ''
    image_size: int = 0
    image_width: int = 0
    input_channels: int = 0
    checkpoint_classes: str = ''
    options: str = ''
    preprocessing: str = ''
    dtype: str = 'float32'
    drop_path: float = 0.0
    dropout: float = 0.0
    head_init: str = 'zeros'

    def check(self, where: str) -> None:
        """As `Part.check`."""
        checks.one_of(f'{where}dtype', self.dtype, ('float32', 'bfloat16'))
        checks.one_of(f'{where}head_init', self.head_init, ('zeros', 'normal'))
        checks.at_least(f'{where}image_size', self.image_size, 0)
        checks.at_least(f'{where}image_width', self.image_width, 0)
        parse_options(self.options)
        parse_options(self.preprocessing)
        if self.image_width and not self.image_size:
            raise UserError(f'{where}image_width needs {where}image_size, the height')
        if self.input_channels not in (0, 1, 3):
            raise UserError(f'{where}input_channels={self.input_channels} must be 3, 1 (grey) or 0 (as the checkpoint)')
        checks.fraction(f'{where}drop_path', self.drop_path)
        checks.fraction(f'{where}dropout', self.dropout)
        if self.checkpoint_classes and not self.checkpoint:
            said = f"{where}checkpoint_classes names the classes of a checkpoint's head"
            raise UserError(f'{said}: name {where}checkpoint too')
