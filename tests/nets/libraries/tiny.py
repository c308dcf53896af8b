"""Small networks of transformers, by type: options that make them quick."""

from striate.nets.loading import Network

LAYERS = {"num_hidden_layers": 2, "num_attention_heads": 2}
BODY = {"hidden_size": 16, "intermediate_size": 32, **LAYERS}
PICTURE = {"image_size": 32, "patch_size": 16}
OPTIONS = {
    "dinov2": {"hidden_size": 16, **LAYERS, "image_size": 28, "patch_size": 14},
    "clip": {**BODY, **PICTURE},
    "siglip": {**BODY, **PICTURE},
    "vit": {**BODY, **PICTURE},
    "sam": {
        "hidden_size": 16,
        **LAYERS,
        "image_size": 64,
        "patch_size": 16,
        "output_channels": 8,
        "global_attn_indexes": [1],
        "mlp_dim": 32,
        "window_size": 2,
    },
    "videomae": {**BODY, **PICTURE, "num_frames": 4},
    "vjepa2": {
        "hidden_size": 24,
        **LAYERS,
        "crop_size": 32,
        "patch_size": 16,
        "frames_per_clip": 4,
        "pred_hidden_size": 12,
        "pred_num_attention_heads": 2,
        "pred_num_hidden_layers": 1,
    },
    "audio-spectrogram-transformer": BODY,
    "whisper": {
        "d_model": 16,
        "encoder_layers": 2,
        "decoder_layers": 1,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 32,
        "decoder_ffn_dim": 32,
        "vocab_size": 50,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "decoder_start_token_id": 1,
    },
    "wav2vec2": {
        **BODY,
        "conv_dim": [8] * 7,
        "num_conv_pos_embeddings": 8,
        "num_conv_pos_embedding_groups": 2,
    },
    "bert": {**BODY, "vocab_size": 20, "max_position_embeddings": 24},
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "vocab_size": 20, "n_positions": 24},
    "llama": {**BODY, "num_key_value_heads": 1, "vocab_size": 20, "max_position_embeddings": 24},
}
SIZES = dict.fromkeys(("clip", "siglip", "vit", "videomae", "vjepa2"), 32) | {
    "dinov2": 28,
    "sam": 64,
}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[BOS]", "the", "striate", "cortex", "is", "early"]


def network(name, **more):
    """A random network of a type, at a size that its options fit."""
    fields = {"weights": "none", "size": SIZES.get(name), "options": OPTIONS[name]} | more
    return Network("transformers", name, **fields)


def tokenizer(folder, special=True):
    """A tokenizer of ten words in a folder; BERT's manner of special tokens, or none at all."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    names = {"unk_token": "[UNK]", "bos_token": "[BOS]"}
    if special:
        made.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
        names |= {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=made, **names).save_pretrained(folder)
