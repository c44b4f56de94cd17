"""Saves a network as safetensors under the names of timm, torchvision or Hugging Face, for PyTorch users.

A folder also gets the config.json by which timm or transformers load it, with its classes and its preprocessing.

python -m launch.export --checkpoint=runs/finetune --naming=timm --output=finetuned.safetensors
python -m launch.export --checkpoint=runs/finetune --naming=huggingface --output=finetuned
python -m launch.export --checkpoint=weights.npz --architecture=vit_b16 --naming=timm --output=weights.safetensors
"""

from absl import flags

from jtransfer.errors import UserError
from jtransfer.files.paths import expanded
from launch import app

_CHECKPOINT = flags.DEFINE_string('checkpoint', '', 'Run directory, catalogue name or file of weights.')
_NAMING = flags.DEFINE_string('naming', '', "timm, huggingface, …. Empty: the source's own, or the most usual one.")
_ARCHITECTURE = flags.DEFINE_string('architecture', '', 'The network, for a file of weights that does not say.')
_OPTIONS = flags.DEFINE_string('options', '', 'Fields of its backbone that these weights need: gelu=erf,eps=1e-5.')
_PREPROCESSING = flags.DEFINE_string(
    'preprocessing', '', 'How images must look to them, where the file does not say: interpolation=bilinear,mean=0.5.'
)
_CLASSES = flags.DEFINE_string(
    'checkpoint_classes', '', "Names of its head's outputs, where it does not state them: ant,bee or a file of lines."
)
_OUTPUT = flags.DEFINE_string(
    'output', '', 'The .safetensors file to write, or a folder, which gets a config.json too.'
)


def main() -> None:
    """Loads, renames and writes, and says what is there."""
    if not _CHECKPOINT.value:
        raise UserError('--checkpoint is missing; --checkpoint=runs/finetune takes a finished run')
    if not _OUTPUT.value:
        raise UserError(
            '--output is missing; --output=model.safetensors names a file to write, --output=model a folder'
        )
    from jtransfer.config.fields import parse_options
    from jtransfer.pretrained.export import export_model, export_notes, is_export_folder
    from jtransfer.pretrained.load import heads
    from jtransfer.pretrained.model import load_model

    model = load_model(
        _CHECKPOINT.value,
        architecture=_ARCHITECTURE.value,
        preprocessing=parse_options(_PREPROCESSING.value),
        options=parse_options(_OPTIONS.value),
        checkpoint_classes=_CLASSES.value,
    )
    folder = is_export_folder(_OUTPUT.value)
    shapes = export_model(model, _OUTPUT.value, _NAMING.value)
    for note in export_notes(model, _NAMING.value, folder=folder):
        app.say(note)
    app.say(
        f'{expanded(_OUTPUT.value)}: {len(shapes)} tensors ({", ".join(list(shapes)[:3])}, …), '
        f'{heads.in_words(model.tasks) or "no head"}'
    )


if __name__ == '__main__':
    app.run(main)
