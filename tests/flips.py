"""Single bits that a disk may change."""

import random


def flip(path, position=None, seed=0):
    """Flips one bit of a file, of the byte at a position or of a random one; returns what was there before."""
    content = path.read_bytes()
    draw = random.Random(f'{path.name} {seed}')
    position = draw.randrange(len(content)) if position is None else position
    changed = bytearray(content)
    changed[position] ^= 1 << draw.randrange(8)
    path.write_bytes(changed)
    return content


def places(size, count, seed=0):
    """Some places in a file, at random, the first and the last byte among them."""
    return sorted({0, size - 1, *random.Random(seed).sample(range(size), min(size, count))})


def damage_values(folder):
    """Flips a bit in the middle of the largest file below a folder: of a checkpoint, where its values are."""
    path = max((path for path in folder.rglob('*') if path.is_file()), key=lambda path: path.stat().st_size)
    flip(path, path.stat().st_size // 2)
