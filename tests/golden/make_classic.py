"""Writes the fixtures of AlexNet, VGG and GoogLeNet: `python -m tests.golden.make_classic`."""

import importlib

import torch

from tests.golden import reference

torchvision = reference.import_torchvision()
timm = reference.import_timm()

ALEXNET_STAGES = {'features.2': 'stage1', 'features.5': 'stage2', 'features.7': 'stage3', 'features.9': 'stage4'}
ALEXNET_STAGES |= {'features.12': 'stage5', 'classifier.2': 'fc1', 'classifier.5': 'fc2'}
GOOGLENET_STAGES = {'maxpool2': 'stem', 'maxpool3': 'stage3', 'maxpool4': 'stage4', 'inception5b': 'stage5'}
GOOGLENET_STAGES |= {'inception4a': 'stage4/a', 'inception4d': 'stage4/d'}
# Every width of the published GoogLeNet over this; outputs of its blocks are multiples of it.
SHRINK = 16


def pixels(batch, height, width, seed=0):
    """Grey levels 0, 16, … 240, which compress well; NCHW in [0, 255]."""
    generator = torch.Generator().manual_seed(seed)
    return 16 * torch.randint(0, 16, (batch, 3, height, width), generator=generator)


def half_normalised(pixels):
    """Mean 0.5, standard deviation 0.5."""
    return (pixels / 255 - 0.5) / 0.5


def imagenet_normalised(pixels):
    """ImageNet's mean and standard deviation."""
    mean, std = torch.tensor((0.485, 0.456, 0.406)), torch.tensor((0.229, 0.224, 0.225))
    return (pixels / 255 - mean[:, None, None]) / std[:, None, None]


def shrunk_alexnet(widths, hidden, classes):
    """torchvision's AlexNet with other numbers of channels."""
    model = torchvision.models.AlexNet(num_classes=classes)
    before = 3
    for index, width in zip((0, 3, 6, 8, 10), widths, strict=True):
        old = model.features[index]
        model.features[index] = torch.nn.Conv2d(before, width, old.kernel_size, old.stride, old.padding)
        before = width
    model.classifier[1] = torch.nn.Linear(before * 36, hidden)
    model.classifier[4] = torch.nn.Linear(hidden, hidden)
    model.classifier[6] = torch.nn.Linear(hidden, classes)
    return reference.randomise(model)


def vgg_layers(depths, widths):
    """The list that torchvision and timm make a VGG's features from."""
    return [entry for depth, width in zip(depths, widths, strict=True) for entry in (*[width] * depth, 'M')]


def vgg_stages(features):
    """Every pool ends a stage."""
    pools = [index for index, layer in enumerate(features) if isinstance(layer, torch.nn.MaxPool2d)]
    return {f'features.{index}': f'stage{stage}' for stage, index in enumerate(pools, start=1)}


def shrunk_vgg(depths, widths, hidden, classes, norm):
    """torchvision's VGG with fewer stages and channels."""
    features = torchvision.models.vgg.make_layers(vgg_layers(depths, widths), batch_norm=norm)
    model = torchvision.models.VGG(features, num_classes=classes, dropout=0.0, init_weights=False)
    model.classifier[0] = torch.nn.Linear(widths[-1] * 49, hidden)
    model.classifier[3] = torch.nn.Linear(hidden, hidden)
    model.classifier[6] = torch.nn.Linear(hidden, classes)
    return reference.randomise(model), vgg_stages(features) | {'classifier.1': 'fc1', 'classifier.4': 'fc2'}


def shrunk_timm_vgg(depths, widths, hidden, classes):
    """timm's VGG with batch normalisation, with fewer stages and channels."""
    model = timm.models.vgg.VGG(vgg_layers(depths, widths), norm_layer=torch.nn.BatchNorm2d)
    model.pre_logits = timm.models.vgg.ConvMlp(widths[-1], hidden, 7, drop_rate=0.0)
    model.head = timm.layers.ClassifierHead(hidden, classes)
    return reference.randomise(model), vgg_stages(model.features)


def shrunk_googlenet(hidden, classes):
    """torchvision's GoogLeNet with all widths divided, without dropout, with what its published weights need."""
    # `torchvision.models.googlenet` is a function.
    parts = importlib.import_module('torchvision.models.googlenet')

    def unit(before, width, **kwargs):
        return parts.BasicConv2d(before if before == 3 else before // SHRINK, width // SHRINK, **kwargs)

    def block(before, *widths):
        return parts.Inception(before // SHRINK, *(width // SHRINK for width in widths))

    def auxiliary(before, classes, dropout):
        head = parts.InceptionAux(1, 1, dropout=dropout)
        head.conv = unit(before, 128, kernel_size=1)
        head.fc1 = torch.nn.Linear(16 * 128 // SHRINK, hidden)
        head.fc2 = torch.nn.Linear(hidden, classes)
        return head

    model = torchvision.models.GoogLeNet(
        num_classes=classes,
        transform_input=True,
        init_weights=False,
        blocks=[unit, block, auxiliary],
        dropout=0.0,
        dropout_aux=0.0,
    )
    model.fc = torch.nn.Linear(1024 // SHRINK, classes)
    reference.randomise(model)
    # Short numbers compress better.
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.copy_(tensor.to(torch.float8_e4m3fn).float())
    return model


def googlenet_arrays(model, pixels):
    """What torchvision says to ImageNet-normalised pixels, and the numbers that our network gets in their place."""
    auxiliary = {}

    def forward(model, image):
        outputs = model(image)
        if not model.training:
            return outputs
        auxiliary['train/aux1'], auxiliary['train/aux2'] = outputs.aux_logits1, outputs.aux_logits2
        return outputs.logits

    arrays = reference.reference(model, imagenet_normalised(pixels), GOOGLENET_STAGES, train=True, forward=forward)
    arrays |= {name: reference.to_numpy(logits) for name, logits in auxiliary.items()}
    arrays |= {'image': reference.to_numpy(half_normalised(pixels))}
    # The file is too large because of its hundreds of names: VGG's fixture has such counters too, and the statistics
    # of the first and the last layers tell whether they moved rightly.
    moved = ('train/state/conv1', 'train/state/inception5b', 'train/state/aux')
    return {
        name: value
        for name, value in arrays.items()
        if not name.endswith('num_batches_tracked') and (not name.startswith('train/state') or name.startswith(moved))
    }


def main():
    """Writes all of them."""
    alexnet = shrunk_alexnet((6, 8, 10, 8, 7), 12, 5)
    # 2×3 places before the dense layers, of which six times six are made.
    image = half_normalised(pixels(2, 95, 127))
    reference.write('alexnet_small', reference.reference(alexnet, image, ALEXNET_STAGES))

    for name, norm in (('vgg_plain', False), ('vgg_norm', True)):
        model, stages = shrunk_vgg((1, 2), (4, 6), 9, 5, norm)
        # 10×8 places, of which seven times seven are made.
        arrays = reference.reference(model, half_normalised(pixels(3, 41, 35)), stages, train=norm)
        reference.write(name, arrays)
    model, stages = shrunk_timm_vgg((1, 2, 1), (4, 6, 5), 9, 5)
    reference.write('vgg_timm', reference.reference(model, half_normalised(pixels(3, 43, 35)), stages, train=True))

    model = shrunk_googlenet(6, 5)
    reference.write('googlenet_aux', googlenet_arrays(model, pixels(4, 33, 47)))


if __name__ == '__main__':
    main()
