"""Crafted files of strangers by kind: what somebody with bad intentions, or a bad disk, may hand a person.

A kind is a function from a random generator and an empty folder to what a person would then call. It writes its files
from what is right, one thing of which it makes wrong; now and then all of it is right, so that what is refused is not
everything. `KINDS` is all that `benchmarks.hostile` knows of them.
"""

from benchmarks import hostile_archives as archives
from benchmarks import hostile_data as data
from benchmarks import hostile_networks as networks
from benchmarks.hostile_values import Kind

KINDS: dict[str, Kind] = {
    'checkpoint metadata': networks.checkpoint,
    'export header': networks.export_header,
    'config.json of transformers': networks.transformers_config,
    'config.json of timm': networks.timm_config,
    'options of a network': networks.options,
    'safetensors': archives.safetensors_header,
    'npz': archives.npz_archive,
    'torch': archives.torch_archive,
    'msgpack': archives.msgpack_file,
    'shards and manifests': archives.shards,
    'adapter': networks.adapter,
    'ensemble': data.ensemble,
    'run directory': data.run_directory,
    'table': data.table,
    'pictures': data.picture,
}
