"""What timm's tags of weights mean, in a few words, for `make_published`."""

from __future__ import annotations

_IN1K, _IN12K, _IN22K = 'ImageNet-1k', 'ImageNet-12k', 'ImageNet-22k'
_RSB = 'ImageNet-1k, ResNet Strikes Back'
_EMBEDDING = '; the head is the embedding shared with text'

_TAGS = {
    'a1_in1k': f'{_RSB} recipe A1',
    'a1h_in1k': f'{_RSB} recipe A1, more regularised',
    'a2_in1k': f'{_RSB} recipe A2',
    'a3_in1k': f'{_RSB} recipe A3',
    'am_in1k': f'{_IN1K}, AugMix',
    'b1k_in1k': f"{_IN1K}, timm's recipe B1k",
    'b2k_in1k': f"{_IN1K}, timm's recipe B2k",
    'bt_in1k': f'{_IN1K}, Bag of Tricks',
    'c1_in1k': f"{_IN1K}, timm's recipe C1",
    'c2_in1k': f"{_IN1K}, timm's recipe C2",
    'd_in1k': f"{_IN1K}, timm's recipe D",
    'd1_in1k': f"{_IN1K}, timm's recipe D1",
    'd1h_in1k': f"{_IN1K}, timm's recipe D1H",
    'd2_in1k': f"{_IN1K}, timm's recipe D2",
    'lamb_in1k': f'{_IN1K}, LAMB',
    'ra_in1k': f'{_IN1K}, RandAugment',
    'ra2_in1k': f'{_IN1K}, RandAugment recipe 2',
    'ra4_e3600_r224_in1k': f'{_IN1K}, RandAugment recipe 4, 3600 epochs',
    'racm_in1k': f'{_IN1K}, RandAugment and CutMix',
    'ram_in1k': f'{_IN1K}, RandAugment and AugMix',
    'gluon_in1k': f'{_IN1K}, by GluonCV',
    'tv_in1k': f'{_IN1K}, by torchvision',
    'tv2_in1k': f'{_IN1K}, by torchvision, newer recipe',
    'fb_in1k': _IN1K,
    'fb_in22k': _IN22K,
    'fb_in22k_ft_in1k': f'{_IN22K}, then {_IN1K}',
    'fb_in22k_ft_in1k_384': f'{_IN22K}, then {_IN1K}',
    'fb_ssl_yfcc100m_ft_in1k': f'YFCC100M semi-supervised, then {_IN1K}',
    'fb_swsl_ig1b_ft_in1k': f'Instagram-1B semi-weakly supervised, then {_IN1K}',
    'fb_wsl_ig1b_ft_in1k': f'Instagram-1B weakly supervised, then {_IN1K}',
    'in12k': _IN12K,
    'in12k_ft_in1k': f'{_IN12K}, then {_IN1K}',
    'in12k_ft_in1k_384': f'{_IN12K}, then {_IN1K}',
    'r384_in12k': _IN12K,
    'r384_ad_in12k': _IN12K,
    'r384_in12k_ft_in1k': f'{_IN12K}, then {_IN1K}',
    'fcmae': f'masked autoencoding on {_IN1K}, no labels',
    'fcmae_ft_in1k': f'masked autoencoding, then {_IN1K}',
    'fcmae_ft_in22k_in1k': f'masked autoencoding, {_IN22K}, then {_IN1K}',
    'fcmae_ft_in22k_in1k_384': f'masked autoencoding, {_IN22K}, then {_IN1K}',
    'fcmae_ft_in22k_in1k_512': f'masked autoencoding, {_IN22K}, then {_IN1K}',
    'goog_in21k': 'BiT-M: ImageNet-21k',
    'goog_in21k_ft_in1k': f'BiT-M: ImageNet-21k, then {_IN1K}',
    'goog_distilled_in1k': f'{_IN1K}, distilled from BiT-M R152x2',
    'goog_teacher_in21k_ft_in1k': f'BiT-M on {_IN1K}, the teacher of the distilled one',
    'goog_teacher_in21k_ft_in1k_384': f'BiT-M on {_IN1K}, the teacher of the distilled one',
    'augreg_in1k': f'AugReg: {_IN1K}',
    'augreg_in21k': 'AugReg: ImageNet-21k',
    'augreg_in21k_ft_in1k': f'AugReg: ImageNet-21k, then {_IN1K}',
    'augreg2_in21k_ft_in1k': f'AugReg: ImageNet-21k, then {_IN1K} by timm',
    'orig_in21k': 'first Vision Transformers: ImageNet-21k',
    'orig_in21k_ft_in1k': f'first Vision Transformers: ImageNet-21k, then {_IN1K}',
    'sam_in1k': f'{_IN1K} with sharpness-aware minimisation',
    'mae': f'MAE on {_IN1K}, no labels',
    'dino': f'DINO on {_IN1K}, no labels',
    'lvd142m': 'DINOv2 on LVD-142M, no labels',
    'webli': 'SigLIP on WebLI in English: pictures with text',
    'webli_i18n': 'SigLIP on WebLI in many languages: pictures with text',
    'v2_webli': 'SigLIP 2 on WebLI in many languages: pictures with text',
    'webli_ft_in1k': f'SigLIP on WebLI, then {_IN1K}',
    'laion2b_ft_in1k': f'CLIP on LAION-2B, then {_IN1K}',
    'laion2b_ft_in12k': f'CLIP on LAION-2B, then {_IN12K}',
    'laion2b_ft_in12k_in1k': f'CLIP on LAION-2B, {_IN12K}, then {_IN1K}',
    'openai_ft_in1k': f'CLIP by OpenAI, then {_IN1K}',
    'openai_ft_in12k': f'CLIP by OpenAI, then {_IN12K}',
    'openai_ft_in12k_in1k': f'CLIP by OpenAI, {_IN12K}, then {_IN1K}',
    'laion2b': f'CLIP on LAION-2B{_EMBEDDING}',
    'laion400m_e32': f'CLIP on LAION-400M{_EMBEDDING}',
    'datacompxl': f'CLIP on DataComp-XL{_EMBEDDING}',
    'openai': f'CLIP by OpenAI{_EMBEDDING}',
    'metaclip_400m': f'MetaCLIP on 400 million pairs{_EMBEDDING}',
    'metaclip_2pt5b': f'MetaCLIP on 2.5 billion pairs{_EMBEDDING}',
    'metaclip_altogether': f'MetaCLIP, Altogether captions{_EMBEDDING}',
    'metaclip2_worldwide': f'MetaCLIP 2, worldwide{_EMBEDDING}',
    'dfn2b': f'CLIP on DFN-2B{_EMBEDDING}',
    'dfn2b_s39b': f'CLIP on DFN-2B, 39 billion samples seen{_EMBEDDING}',
    'dfn5b': f'CLIP on DFN-5B{_EMBEDDING}',
    'apple_mclip2_dfndr2b': f'MobileCLIP 2 on DFNDR-2B{_EMBEDDING}',
}
# Weights trained with the quick GELU, which timm also lists under architectures with the exact one.
_QUICK = ('openai', 'metaclip_400m', 'metaclip_2pt5b', 'metaclip2_worldwide', 'dfn2b', 'dfn5b')


def about_timm(architecture: str, tag: str) -> str:
    """What weights of timm were trained on, and what is peculiar.

    Raises:
        KeyError: a tag that nobody has described.
    """
    about = _TAGS[tag]
    if tag in _QUICK and '_clip_' in architecture and '_quickgelu_' not in architecture:
        about += '; with the exact GELU, as timm has it; the entry with quickgelu computes as it was trained'
    return about
