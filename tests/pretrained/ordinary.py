"""Configurations as they lie beside published weights: whole and right, for what makes one thing of them wrong."""

from typing import Any

ARCHITECTURE = 'resnet_tiny'
TRANSFORMERS: list[dict[str, Any]] = [
    {
        'model_type': 'vit',
        'architectures': ['ViTForImageClassification'],
        'hidden_size': 192,
        'num_hidden_layers': 12,
        'num_attention_heads': 3,
        'intermediate_size': 768,
        'image_size': 224,
        'patch_size': 16,
        'hidden_act': 'gelu',
        'layer_norm_eps': 1e-12,
        'qkv_bias': True,
        'id2label': {'0': 'ant', '1': 'bee'},
    },
    {
        'model_type': 'resnet',
        'embedding_size': 64,
        'hidden_sizes': [64, 128, 256, 512],
        'depths': [2, 2, 2, 2],
        'layer_type': 'basic',
        'hidden_act': 'relu',
        'problem_type': 'single_label_classification',
    },
    {'model_type': 'convnext', 'hidden_sizes': [96, 192, 384, 768], 'depths': [3, 3, 9, 3], 'image_size': 224},
    {'model_type': 'mobilenet_v2', 'depth_multiplier': 0.35, 'tf_padding': True, 'layer_norm_eps': 1e-3},
    {'model_type': 'dinov2', 'hidden_size': 384, 'num_attention_heads': 6, 'mlp_ratio': 4, 'use_swiglu_ffn': False},
    {'model_type': 'clip', 'vision_config': {'hidden_size': 768, 'image_size': 224, 'patch_size': 32}},
]
PROCESSOR = {
    'image_processor_type': 'ViTImageProcessor',
    'do_resize': True,
    'size': {'height': 224, 'width': 224},
    'resample': 2,
    'do_rescale': True,
    'rescale_factor': 1 / 255,
    'do_normalize': True,
    'image_mean': [0.5, 0.5, 0.5],
    'image_std': [0.5, 0.5, 0.5],
}
TIMM = {
    'architecture': ARCHITECTURE,
    'num_classes': 3,
    'label_names': ['ant', 'bee', 'cat'],
    'model_args': {},
    'pretrained_cfg': {
        'tag': 'a1_in1k',
        'input_size': [3, 32, 32],
        'interpolation': 'bicubic',
        'crop_pct': 0.95,
        'crop_mode': 'center',
        'mean': [0.485, 0.456, 0.406],
        'std': [0.229, 0.224, 0.225],
    },
}
TIMM_VIT = {
    **TIMM,
    'architecture': 'vit_tiny_patch16_224',
    'model_args': {
        'img_size': 64,
        'embed_dim': 48,
        'depth': 2,
        'num_heads': 3,
        'mlp_ratio': 4,
        'init_values': 1e-5,
        'global_pool': 'avg',
        'act_layer': 'gelu',
        'no_embed_class': True,
    },
}
