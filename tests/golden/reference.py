"""What the reference implementations say: tools for the scripts that write fixtures and for the live comparison.

Nothing here imports JAX or jtransfer, so that what it says is independent of them. Needs the `parity` extra.
"""

from __future__ import annotations

import pathlib
import types
from collections.abc import Callable, Mapping

import numpy as np
import torch


def import_torchvision() -> types.ModuleType:
    """torchvision without its compiled operators, whose wheel often does not fit torch's build.

    At import it describes those operators (for detection networks) to torch, which does not know them then. The
    classification networks and the transforms use none of them.
    """
    known = torch.library.register_fake
    torch.library.register_fake = lambda *args, **kwargs: lambda function: function
    try:
        import torchvision
    finally:
        torch.library.register_fake = known
    return torchvision


def import_timm() -> types.ModuleType:
    """timm, once torchvision has been imported."""
    import_torchvision()
    import timm

    return timm


def randomise(model: torch.nn.Module, seed: int = 1, spread: float = 0.2) -> torch.nn.Module:
    """All parameters and statistics random and away from their defaults, which would hide a swapped name.

    Args:
        model: changed in place, and returned.
        seed: of the draws.
        spread: standard deviation of vectors (scales around 1, biases around 0).
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(shape):
        return torch.randn(shape, generator=generator)

    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if not tensor.is_floating_point():
                continue
            if name.endswith('running_var'):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
            elif tensor.ndim <= 1:
                scale = name.endswith(('weight', 'gamma', 'lambda1'))
                tensor.copy_(scale + spread * normal(tensor.shape))
            else:
                fan_in = tensor[0].numel() if name.endswith('weight') else 10
                tensor.copy_(normal(tensor.shape) * fan_in**-0.5)
    return model


def random_image(batch: int, height: int, width: int, channels: int = 3, seed: int = 0) -> torch.Tensor:
    """Normalised images, NCHW."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((batch, channels, height, width), generator=generator)


def outputs(
    model: torch.nn.Module,
    image: torch.Tensor,
    stages: Mapping[str, str] | None = None,
    forward: Callable[[torch.nn.Module, torch.Tensor], torch.Tensor] | None = None,
) -> dict[str, np.ndarray]:
    """`logits`, and `feature/STAGE` for every named sub-module, pictures in NHWC.

    Args:
        model: in the mode it is in.
        image: NCHW.
        stages: our stage names by the reference's module names.
        forward: gives the logits where calling the model does not.
    """
    kept: dict[str, np.ndarray] = {}

    def keep(stage):
        def hook(module, inputs, output):
            output = output[0] if isinstance(output, tuple) else output
            kept[f'feature/{stage}'] = to_numpy(output)

        return hook

    hooks = [model.get_submodule(theirs).register_forward_hook(keep(ours)) for theirs, ours in (stages or {}).items()]
    with torch.no_grad():
        logits = forward(model, image) if forward else model(image)
    for hook in hooks:
        hook.remove()
    return {'logits': to_numpy(logits), **kept}


def state(model: torch.nn.Module) -> dict[str, np.ndarray]:
    """A copy of the model's tensors by their own names."""
    return {name: np.array(tensor.numpy(), order='C') for name, tensor in model.state_dict().items()}


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """A copy; pictures (batch, channel, h, w) become (batch, h, w, channel)."""
    tensor = tensor.permute(0, 2, 3, 1) if tensor.ndim == 4 else tensor
    return np.array(tensor.detach().numpy(), order='C')


def reference(
    model: torch.nn.Module,
    image: torch.Tensor,
    stages: Mapping[str, str] | None = None,
    *,
    train: bool = False,
    forward: Callable[[torch.nn.Module, torch.Tensor], torch.Tensor] | None = None,
) -> dict[str, np.ndarray]:
    """Everything a comparison needs: `image`, `state/…`, `logits`, `feature/…`, and with `train` the training mode's.

    Args:
        model: of random weights (`randomise`).
        image: NCHW.
        stages: our stage names by the reference's module names.
        train: for networks with batch normalisation: also `train/logits` and `train/state/…` (the running statistics)
            after one forward pass in training mode. The model's own statistics move.
        forward: gives the logits where calling the model does not.
    """
    arrays = {'image': to_numpy(image)} | {f'state/{name}': value for name, value in state(model).items()}
    arrays |= outputs(model.eval(), image, stages, forward)
    if train:
        arrays['train/logits'] = outputs(model.train(), image, forward=forward)['logits']
        moved = {name: value for name, value in state(model).items() if name.endswith(('running_mean', 'running_var'))}
        arrays |= {f'train/state/{name}': value for name, value in moved.items()}
    return arrays


def write(case: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes tests/golden/CASE.npz and says how large it is (keep each under 150 KiB)."""
    path = pathlib.Path(__file__).parent / f'{case}.npz'
    np.savez_compressed(path, **arrays)
    print(f'{path.name}: {path.stat().st_size / 1024:.0f} KiB')
