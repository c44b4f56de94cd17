"""Names of CLIP's image tower in the files of OpenAI and OpenCLIP."""

from __future__ import annotations

from jtransfer.pretrained.load.layouts import Leading
from jtransfer.pretrained.load.namemap import NameMap, Rule
from jtransfer.pretrained.names.common import affine, conv, dense, norm
from jtransfer.pretrained.names.vit_rules import BLOCK, HEADS_OUT, embedding, fused

_LAYER = 'visual.transformer.resblocks.{i}'

OPENAI_CLIP = NameMap(
    'openai_clip',
    (
        embedding('visual.class_embedding', 'cls_token', Leading(2)),
        embedding('visual.positional_embedding', 'pos_embed', Leading(1)),
        *conv('visual.conv1', 'backbone/embed/patch'),
        *norm('visual.ln_pre', 'backbone/embed/norm_pre'),
        *norm(f'{_LAYER}.ln_{{n}}', f'{BLOCK}/norm{{n}}'),
        *fused(f'{_LAYER}.attn', f'{BLOCK}/attn', leaf='.in_proj_{}'),
        *affine(f'{_LAYER}.attn.out_proj', f'{BLOCK}/attn/out', HEADS_OUT),
        *dense(f'{_LAYER}.mlp.c_fc', f'{BLOCK}/mlp/fc1'),
        *dense(f'{_LAYER}.mlp.c_proj', f'{BLOCK}/mlp/fc2'),
        *norm('visual.ln_post', 'backbone/norm'),
        # Stored (in, out), and without a bias.
        Rule('visual.proj', 'params/head/kernel'),
    ),
    wrappers=('module.',),
    ignored=(
        # The text tower, the loss, and what OpenAI's archives say about the sizes.
        r'(text\.)?(transformer|token_embedding|ln_final)\..*',
        r'(text\.)?(positional_embedding|text_projection|attn_mask)',
        'logit_scale|logit_bias|input_resolution|context_length|vocab_size',
    ),
    constants={'params/head/bias': 0.0},
)
