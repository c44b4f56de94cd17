"""From settings and metadata to an adaptation."""

import json

import jax
import pytest

from jtransfer import adapters
from jtransfer.config.transfer import ADAPTATIONS, Adapters
from jtransfer.errors import UserError


@pytest.mark.parametrize('kind', ADAPTATIONS)
def test_an_adaptation_survives_json(bench, kind):
    adaptation = bench.adapted('vit', kind)[0].adaptation
    values = json.loads(json.dumps(adapters.to_dict(adaptation)))
    assert values['kind'] == kind
    assert adapters.from_dict(values) == adaptation


def test_metadata_that_is_none_of_ours_is_refused(bench):
    values = adapters.to_dict(bench.adapted('vit', 'lora')[0].adaptation)
    with pytest.raises(UserError, match=r'an adaptation has a kind \(lora, adapter, prompt, ssf\) and fields'):
        adapters.from_dict({**values, 'kind': 'lokr'})
    with pytest.raises(UserError, match=r"no field 'lora.ranks'. Did you mean 'rank'"):
        adapters.from_dict({'kind': 'lora', 'fields': {**values['fields'], 'ranks': 3}})
    with pytest.raises(UserError, match='lora lacks its field rank'):
        adapters.from_dict({'kind': 'lora', 'fields': {k: v for k, v in values['fields'].items() if k != 'rank'}})


def test_what_can_be_merged(bench):
    can = {kind: adapters.can_merge(bench.adapted('vit', kind)[0].adaptation) for kind in ADAPTATIONS}
    assert can == {'lora': True, 'ssf': True, 'adapter': False, 'prompt': False}


def test_unknown_kinds_and_a_second_adaptation_are_refused(bench):
    network = bench.network('vit')
    params = bench.variables(network)['params']
    with pytest.raises(UserError, match=r"transfer.strategy='loraa' is not one of .* Did you mean 'lora'"):
        adapters.make_adaptation('loraa', Adapters(), network, params)
    net, variables = bench.adapted('vit', 'lora')
    with pytest.raises(UserError, match='adapted already'):
        adapters.adapt(net, variables['params'], net.adaptation, key=jax.random.key(0))


def test_adapting_leaves_the_given_parameters_alone(bench):
    network = bench.network('vit')
    params = bench.variables(network)['params']
    adaptation = adapters.make_adaptation('lora', Adapters(), network, params)
    _, adapted = adapters.adapt(
        network,
        params,
        adaptation,
        key=jax.random.key(0),
        inputs={'image': jax.ShapeDtypeStruct((32, 32, 3), 'float32')},
    )
    assert set(params) == {'backbone', 'head'}
    assert adapted['backbone'] is params['backbone']
