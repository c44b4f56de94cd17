"""Saves a network as safetensors under the names of timm, torchvision or Hugging Face, for PyTorch users.

python -m launch.export --checkpoint=runs/finetune --naming=timm --output=finetuned.safetensors
"""

from absl import flags

from jtransfer.errors import UserError
from launch import app

_CHECKPOINT = flags.DEFINE_string('checkpoint', '', 'Run directory, catalogue name or file of weights.')
_NAMING = flags.DEFINE_string('naming', '', "timm, huggingface, …. Empty: the source's own, or the most usual one.")
_OUTPUT = flags.DEFINE_string('output', '', 'The .safetensors file to write; it must not exist.')


def main() -> None:
    """Loads, renames and writes, and says what is there."""
    if not _CHECKPOINT.value:
        raise UserError('--checkpoint is missing; --checkpoint=runs/finetune takes a finished run')
    if not _OUTPUT.value:
        raise UserError('--output is missing; --output=model.safetensors names the file to write')
    from jtransfer.pretrained.export import export_model
    from jtransfer.pretrained.model import load_model

    model = load_model(_CHECKPOINT.value)
    shapes = export_model(model, _OUTPUT.value, _NAMING.value)
    app.say(
        f'{_OUTPUT.value}: {len(shapes)} tensors ({", ".join(list(shapes)[:3])}, …), {len(model.class_names)} classes'
    )


if __name__ == '__main__':
    app.run(main)
