"""Models of the transformers library: the real classes with tiny configurations, nothing is downloaded."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch  # noqa: E402
import transformers  # noqa: E402

from t2m_notebook.torchvision_shim import declare_missing_operators  # noqa: E402

from .recipe import Recipe, Size, token_ids  # noqa: E402

declare_missing_operators()
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

ENCODER = dict(vocab_size=99, hidden_size=32, num_hidden_layers=3, num_attention_heads=4,
               intermediate_size=37, max_position_embeddings=64)
DECODER = dict(ENCODER, num_key_value_heads=2, use_cache=False, pad_token_id=0, bos_token_id=1,
               eos_token_id=2)
VISION = dict(hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=37, image_size=32,
              patch_size=8)
STAGES = dict(hidden_sizes=[8, 16, 24, 32])
ENCODER_DECODER = dict(d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
                       decoder_attention_heads=4, encoder_ffn_dim=37, decoder_ffn_dim=37, use_cache=False)


def _model(class_name: str, model_type: str, **options):
    """Makes ``class_name`` from the library's configuration for ``model_type``."""

    def make():
        config = transformers.AutoConfig.for_model(model_type, **options)
        return getattr(transformers, class_name)(config)

    return make


def _text(size: Size):
    return (), {"input_ids": token_ids(size, size.pick(12, 9))}


def _padded_text(size: Size):
    ids = token_ids(size, size.pick(12, 9))
    mask = torch.ones_like(ids)
    mask[0, -3:] = 0
    return (), {"input_ids": ids, "attention_mask": mask}


def _source_and_target(size: Size):
    return (), {"input_ids": token_ids(size, size.pick(12, 9)),
                "decoder_input_ids": token_ids(size, size.pick(7, 5))}


def _pixels(pixels: int = 32, other: int | None = None):
    return lambda size: ((), {"pixel_values": torch.randn(size.batch, 3, *[size.pick(pixels, other)] * 2)})


def _spectrogram_and_target(size: Size):  # whisper takes spectrograms of one length only
    return (), {"input_features": torch.randn(size.batch, 16, 60),
                "decoder_input_ids": token_ids(size, size.pick(7, 5))}


def _text_and_pixels(size: Size):
    return (), {"input_ids": token_ids(size, size.pick(12, 9)),
                "pixel_values": torch.randn(size.batch, 3, 32, 32)}


def _clip():
    return transformers.CLIPModel(transformers.CLIPConfig(
        text_config=dict(vocab_size=99, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                         intermediate_size=37, max_position_embeddings=32, bos_token_id=0, eos_token_id=98,
                         pad_token_id=1),
        vision_config=VISION, projection_dim=16))


def _siglip():
    return transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**VISION))


def _sam_vision():
    return transformers.SamVisionModel(transformers.SamVisionConfig(
        hidden_size=32, output_channels=16, num_hidden_layers=2, num_attention_heads=4, image_size=64,
        patch_size=8, window_size=4, global_attn_indexes=[1], mlp_dim=37, num_pos_feats=8))


def _depth_anything():
    backbone = transformers.AutoConfig.for_model(
        "dinov2", hidden_size=32, num_hidden_layers=4, num_attention_heads=4, image_size=56, patch_size=14,
        out_features=["stage1", "stage2", "stage3", "stage4"], reshape_hidden_states=False)
    return _model("DepthAnythingForDepthEstimation", "depth_anything", backbone_config=backbone,
                  reassemble_hidden_size=32, neck_hidden_sizes=[8, 12, 16, 16], fusion_hidden_size=16,
                  head_hidden_size=8)()


def _encodec_encoder():
    return _model("EncodecModel", "encodec", num_filters=8, hidden_size=16, codebook_size=32,
                  upsampling_ratios=[4, 2], num_lstm_layers=1, target_bandwidths=[12.0])().encoder


MODELS = {
    # encoders of text
    "bert": Recipe(_model("BertModel", "bert", **ENCODER), _padded_text),
    "roberta": Recipe(_model("RobertaModel", "roberta", **ENCODER), _padded_text),
    "albert": Recipe(_model("AlbertModel", "albert", embedding_size=16, **ENCODER), _padded_text),
    "electra": Recipe(_model("ElectraModel", "electra", embedding_size=16, **ENCODER), _padded_text),
    "distilbert": Recipe(_model("DistilBertModel", "distilbert", vocab_size=99, dim=32, n_layers=3, n_heads=4,
                                hidden_dim=37, max_position_embeddings=64), _padded_text),
    "deberta_v2": Recipe(_model("DebertaV2Model", "deberta-v2", relative_attention=True,
                                pos_att_type=["p2c", "c2p"], position_buckets=8, share_att_key=True,
                                norm_rel_ebd="layer_norm", max_relative_positions=-1,
                                position_biased_input=False, **ENCODER), _padded_text),
    # decoders of text
    "gpt2": Recipe(_model("GPT2LMHeadModel", "gpt2", vocab_size=99, n_embd=32, n_layer=3, n_head=4,
                          n_positions=64, use_cache=False), _text),
    "gpt_neox": Recipe(_model("GPTNeoXForCausalLM", "gpt_neox", use_cache=False, **ENCODER), _text),
    "opt": Recipe(_model("OPTForCausalLM", "opt", vocab_size=99, hidden_size=32, num_hidden_layers=3,
                         num_attention_heads=4, ffn_dim=37, max_position_embeddings=64,
                         word_embed_proj_dim=32, use_cache=False), _padded_text),
    "llama": Recipe(_model("LlamaForCausalLM", "llama", **DECODER), _text),
    "mistral": Recipe(_model("MistralForCausalLM", "mistral", sliding_window=8, **DECODER), _text),
    "mixtral": Recipe(_model("MixtralForCausalLM", "mixtral", num_local_experts=4,
                             experts_implementation="eager", **dict(DECODER, intermediate_size=48)), _text),
    "qwen2": Recipe(_model("Qwen2ForCausalLM", "qwen2", **DECODER), _text),
    "qwen3": Recipe(_model("Qwen3ForCausalLM", "qwen3", head_dim=8, **DECODER), _text),
    "gemma2": Recipe(_model("Gemma2ForCausalLM", "gemma2", head_dim=8, sliding_window=8,
                            query_pre_attn_scalar=8, **DECODER), _text),
    "phi3": Recipe(_model("Phi3ForCausalLM", "phi3", **DECODER), _text),
    "falcon": Recipe(_model("FalconForCausalLM", "falcon", vocab_size=99, hidden_size=32, num_hidden_layers=3,
                            num_attention_heads=4, use_cache=False, bos_token_id=1, eos_token_id=2), _text),
    "mamba": Recipe(_model("MambaForCausalLM", "mamba", vocab_size=99, hidden_size=32, num_hidden_layers=2,
                           state_size=8, use_cache=False), _text),
    # from one sequence to another, and sound
    "t5": Recipe(_model("T5ForConditionalGeneration", "t5", vocab_size=99, d_model=32, d_kv=8, d_ff=37,
                        num_layers=2, num_heads=4, use_cache=False, decoder_start_token_id=0),
                 _source_and_target),
    "bart": Recipe(_model("BartModel", "bart", vocab_size=99, max_position_embeddings=64, **ENCODER_DECODER),
                   _source_and_target),
    "whisper": Recipe(_model("WhisperModel", "whisper", vocab_size=99, max_source_positions=30,
                             max_target_positions=30, num_mel_bins=16, pad_token_id=0, bos_token_id=1,
                             eos_token_id=2, decoder_start_token_id=3, **ENCODER_DECODER),
                      _spectrogram_and_target),
    "wav2vec2": Recipe(_model("Wav2Vec2Model", "wav2vec2", vocab_size=32, hidden_size=32, num_hidden_layers=2,
                              num_attention_heads=4, intermediate_size=37, conv_dim=[16] * 3,
                              conv_stride=[5, 2, 2], conv_kernel=[10, 3, 3], num_conv_pos_embeddings=16,
                              num_conv_pos_embedding_groups=2, apply_spec_augment=False),
                       lambda size: ((), {"input_values": torch.randn(size.batch, size.pick(800, 640))})),
    "vits": Recipe(_model("VitsModel", "vits", vocab_size=38, hidden_size=32, num_hidden_layers=2,
                          num_attention_heads=2, ffn_dim=37, flow_size=16, spectrogram_bins=9,
                          upsample_initial_channel=32, upsample_rates=[4, 4], upsample_kernel_sizes=[8, 8],
                          duration_predictor_num_flows=2, duration_predictor_filter_channels=16,
                          noise_scale=0.0, noise_scale_duration=0.0, prior_encoder_num_flows=2,
                          posterior_encoder_num_wavenet_layers=2, prior_encoder_num_wavenet_layers=2),
                   lambda size: ((), {"input_ids": token_ids(size, size.pick(12, 9), vocabulary=38)})),
    "encodec": Recipe(_encodec_encoder, lambda size: ((torch.randn(size.batch, 1, size.pick(320, 480)),),
                                                      {})),
    # images
    "vit": Recipe(_model("ViTModel", "vit", **VISION), _pixels()),
    "beit": Recipe(_model("BeitModel", "beit", use_relative_position_bias=True, **VISION), _pixels()),
    "dinov2": Recipe(_model("Dinov2Model", "dinov2", hidden_size=32, num_hidden_layers=3,
                            num_attention_heads=4, image_size=32, patch_size=8), _pixels(32, 48)),
    "swin": Recipe(_model("SwinModel", "swin", image_size=32, patch_size=2, embed_dim=16, depths=[2, 2],
                          num_heads=[2, 4], window_size=4), _pixels()),
    "convnextv2": Recipe(_model("ConvNextV2Model", "convnextv2", depths=[1, 1, 2, 1], **STAGES),
                         _pixels(64, 96)),
    "hf_resnet": Recipe(_model("ResNetModel", "resnet", embedding_size=8, depths=[2, 2, 1, 1],
                               layer_type="basic", **STAGES), _pixels(64, 96)),
    "mobilenet_v2": Recipe(_model("MobileNetV2Model", "mobilenet_v2", image_size=64, depth_multiplier=0.25),
                           _pixels(64, 96)),
    "regnet": Recipe(_model("RegNetModel", "regnet", embedding_size=8, depths=[1, 1, 2, 1], groups_width=8,
                            **STAGES), _pixels(64, 96)),
    "siglip": Recipe(_siglip, _pixels()),
    "sam_vision": Recipe(_sam_vision, _pixels(64)),
    "clip": Recipe(_clip, _text_and_pixels),
    "segformer": Recipe(_model("SegformerForSemanticSegmentation", "segformer", depths=[1, 1, 1, 1],
                               num_attention_heads=[1, 2, 2, 4], decoder_hidden_size=16, **STAGES),
                        _pixels(64, 96)),
    "depth_anything": Recipe(_depth_anything, _pixels(56, 84)),
}
