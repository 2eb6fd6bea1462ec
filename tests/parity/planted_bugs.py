"""Bugs that people make when they port by hand, as text changes of generated classes.

``(model, class, right text, wrong text, kinds)``: the diagnosis must give one of the kinds, and its
change must make the class equal. An empty wrong text takes the right one out; ``everywhere`` in
the name of a bug changes all of its places.
"""

from __future__ import annotations

PLANTED: dict[str, tuple[str, str, str, str, tuple[str, ...]]] = {
    # epsilon
    "epsilon of a LayerNorm": ("bert", "BertSelfOutput", "eps=1e-12", "eps=1e-2", ("epsilon",)),
    "epsilon of a LayerNorm left out": ("steps", "Steps", "nn.LayerNorm(8)", "nn.LayerNorm(8, eps=0.1)", ("epsilon",)),
    "epsilon of a BatchNorm left out": ("pictures", "Pictures", "nn.BatchNorm(6, eps=0.001)", "nn.BatchNorm(6)",
        ("epsilon",)),
    "epsilon of an RMSNorm": ("llama", "LlamaRMSNorm", "1e-06", "1e-02", ("epsilon",)),
    "epsilon outside of the root": ("statistics", "Statistics", "mx.sqrt(spread + 0.001)", "(mx.sqrt(spread) + 0.001)",
        ("epsilon",)),
    "epsilon added to the quotient": ("statistics", "Statistics", "mx.sqrt(spread + 0.001)", "mx.sqrt(spread) + 0.001",
        ("epsilon",)),
    "epsilon forgotten": ("statistics", "Statistics", "mx.sqrt(spread + 0.001)", "mx.sqrt(spread)", ("epsilon",)),
    # activations
    "GELU by its approximation": ("vit", "GELUActivation", "nn.gelu(", "nn.gelu_fast_approx(", ("GELU variant",)),
    "GELU exact for the approximation": ("gpt2", "NewGELUActivation",
        "input * 0.5 * (mx.tanh((input + input**3.0 * 0.044715) * 0.7978845608028654) + 1.0)",
        "nn.gelu_fast_approx(input)", ("GELU variant",)),
    "another activation": ("bert", "BertPooler", "mx.tanh", "nn.relu", ("wrong activation",)),
    "activation left out": ("hf_resnet", "ResNetConvLayer", "        hidden_states = nn.relu(hidden_states)\n", "",
        ("missing activation",)),
    "activation too many": ("hf_resnet", "ResNetConvLayer3", "return hidden_states", "return nn.relu(hidden_states)",
        ("extra activation",)),
    "slope of a leaky relu": ("pictures", "Pictures", "mx.maximum(conv, 0.2 * conv)", "nn.leaky_relu(conv)",
        ("default that differs", "wrong activation")),
    # softmax, reductions, joins
    "softmax axis": ("nanogpt", "GPTBlock", "mx.softmax(scores, axis=-1)", "mx.softmax(scores, axis=1)",
        ("softmax axis",)),
    "softmax without an axis": ("steps", "Steps", "mx.softmax(x, axis=1)", "mx.softmax(x)", ("softmax axis",)),
    "degrees of freedom": ("statistics", "Statistics", ", ddof=1", "", ("degrees of freedom",)),
    "reduction axis": ("llama", "LlamaRMSNorm", "axis=-1, keepdims", "axis=1, keepdims", ("reduction axis",)),
    "dimension not kept": ("llama", "LlamaRMSNorm", ", keepdims=True", "", ("dimension kept",)),
    "mean for sum": ("statistics", "Statistics", "mx.mean(x", "mx.sum(x", ("another function",)),
    # layout
    "channels joined on axis 1": ("unet", "UNet", "mx.concatenate([x_3, x_2], axis=-1)",
        "mx.concatenate([x_3, x_2], axis=1)", ("NCHW read as NHWC",)),
    "pooled over NCHW's axes": ("pictures", "Pictures", "mx.mean(y, axis=(1, 2))", "mx.mean(y, axis=(2, 3))",
        ("NCHW read as NHWC",)),
    "scale broadcast as in NCHW": ("timm_convnext_atto", "ConvNeXtBlock", "reshape(1, 1, 1, -1)",
        "reshape(1, -1, 1, 1)", ("NCHW read as NHWC", "broadcast along another axis")),
    "image handed on as NCHW": ("vit", "ViTPatchEmbeddings", "self.projection(pixel_values)",
        "self.projection(pixel_values.transpose(0, 3, 1, 2))", ("NCHW read as NHWC",)),
    # axes
    "heads not exchanged": ("llama", "LlamaAttention", "self.k_proj(hidden_states).reshape(B, L, -1, 8).swapaxes(1, 2)",
        "self.k_proj(hidden_states).reshape(B, L, -1, 8)", ("swapped axes",)),
    "heads not exchanged everywhere": ("bert", "BertSelfAttention", "reshape(B, L, -1, 8).swapaxes(1, 2)",
        "reshape(B, L, -1, 8)", ("swapped axes",)),
    "heads reshaped directly": ("vit", "ViTAttention", "self.v_proj(hidden_states).reshape(B, L, -1, 8).swapaxes(1, 2)",
        "self.v_proj(hidden_states).reshape(B, -1, L, 8)", ("swapped axes",)),
    "heads not put back": ("bert", "BertSelfAttention", "        attn_output = attn_output.swapaxes(1, 2)\n", "",
        ("swapped axes",)),
    "other axes exchanged": ("nanogpt", "GPTBlock", "k.swapaxes(-1, -2)", "k.swapaxes(1, 3)", ("swapped axes",)),
    "permutation of a bias": ("einsum_attention", "EinsumAttention", ".transpose(2, 0, 1)", ".transpose(2, 1, 0)",
        ("swapped axes", "order of operands")),
    "heads and head size exchanged": ("gpt2", "GPT2Attention",
        "value_states.reshape(key_states.shape[0], key_states.shape[1], -1, 8)",
        "value_states.reshape(key_states.shape[0], key_states.shape[1], 8, -1)", ("reshape sizes exchanged",)),
    "letters of an einsum": ("einsum_attention", "EinsumAttention", "bhqk,bhkd->bqhd", "bhkq,bhkd->bqhd",
        ("einsum letters",)),
    # weights
    "square weight not transposed": ("square", "Square", "self.weight.T", "self.weight", ("weight not transposed",)),
    "cubic kernel in torch's order": ("square", "Square", "mx.conv2d(picture, self.kernel,",
        "mx.conv2d(picture, self.kernel.transpose(0, 2, 3, 1),", ("weight not transposed",)),
    "weight transposed that is not": ("gpt2", "Conv1D", "x.reshape(-1, x.shape[2]), self.weight)",
        "x.reshape(-1, x.shape[2]), self.weight.T)", ("weight not transposed",)),
    # terms
    "scale of the scores left out": ("nanogpt", "GPTBlock", " * (1.0 / k.shape[3] ** 0.5)", "", ("missing scale",)),
    "scale by d for the root of d": ("nanogpt", "GPTBlock", "k.shape[3] ** 0.5", "k.shape[3]", ("wrong scale",)),
    "scale left out of attention": ("llama", "LlamaAttention", "scale=0.3535533905932738", "scale=1.0",
        ("wrong scale",)),
    "layer scale left out": ("timm_convnext_atto", "ConvNeXtBlock",
        "        x_2 = x_2 * self.gamma.reshape(1, 1, 1, -1)\n", "", ("missing scale",)),
    "bias left out": ("square", "Square", " + self.bias", "", ("missing bias",)),
    "shift left out": ("statistics", "Statistics", " + self.shift", "", ("missing bias",)),
    "layer without its bias": ("vit", "ViTAttention", "self.q_proj = nn.Linear(32, 32)",
        "self.q_proj = nn.Linear(32, 32, bias=False)", ("missing bias",)),
    "residual left out": ("bert", "BertSelfOutput", "hidden_states_2 + input_tensor", "hidden_states_2",
        ("missing residual",)),
    "residual of the normalised value": ("gpt2", "GPT2Block", "hidden_states = attn_output + hidden_states",
        "hidden_states = attn_output + hidden_states_2", ("wrong variable",)),
    "residual left out of a block": ("hf_resnet", "ResNetBasicLayer2", "hidden_state_2 + residual", "hidden_state_2",
        ("missing residual",)),
    # masks
    "mask inverted": ("bert", "BertSelfAttention", "mask=attention_mask", "mask=~attention_mask", ("mask inverted",)),
    "padding mask inverted": ("masked", "Masked", "key_padding_mask=blocked", "key_padding_mask=~blocked",
        ("mask inverted",)),
    "where the wrong way round": ("nanogpt", "GPTBlock", "-float(\"inf\"), scores)", "scores, -float(\"inf\"))",
        ("mask inverted",)),
    "mask added that selects": ("bert", "BertSelfAttention", "mask=attention_mask",
        "mask=attention_mask.astype(mx.float32)", ("boolean and additive mask mixed up",)),
    "mask left out": ("bert", "BertSelfAttention",
        "masked_attention(\n            query_layer, key_layer, value_layer, mask=attention_mask,",
        "mx.fast.scaled_dot_product_attention(\n            query_layer, key_layer, value_layer,", ("mask left out",)),
    "causal mask left out": ("gpt2", "GPT2Attention", "causal_attention(", "mx.fast.scaled_dot_product_attention(",
        ("causal mask left out",)),
    "causal mask at the other corner": ("causal", "Causal", "causal_attention(", "bottom_right_attention(",
        ("causal alignment",)),
    "triangle of a mask": ("einsum_attention", "EinsumAttention", "-float(\"inf\")), 1)", "-float(\"inf\")), 2)",
        ("causal alignment",)),
    # functions of one name
    "split by size": ("pieces", "Pieces", "mx.split(x, range(2, x.shape[1], 2), axis=-1)", "mx.split(x, 2, axis=-1)",
        ("split count against size",)),
    "split by sizes for points": ("pieces", "Pieces", "mx.split(x, [2], axis=-1)", "mx.split(x, [2, 4], axis=-1)",
        ("split count against size",)),
    "repeat of elements": ("pieces", "Pieces", "mx.tile(first, (1, 3))", "mx.repeat(first, 3, axis=1)",
        ("repeat against tile",)),
    "tile for repeat": ("pieces", "Pieces", "mx.repeat(second, 3, axis=-1)", "mx.tile(second, (1, 3))",
        ("repeat against tile",)),
    "topk ascending": ("pieces", "Pieces", "top_values(x, 3, axis=-1)[0]", "mx.topk(x, 3, axis=-1)",
        ("ascending or descending",)),
    "order of the parts": ("nanogpt", "GPTBlock", "q, k, v = mx.split", "k, q, v = mx.split", ("order of parts",)),
    # norms
    "groups of a GroupNorm": ("unet", "DoubleConv", "nn.GroupNorm(4, net_out_features, pytorch_compatible=True)",
        "nn.GroupNorm(4, net_out_features)", ("GroupNorm grouping",)),
    "statistics of the batch": ("pictures", "Pictures", "        conv = self.conv(x)\n",
        "        self.batch.train()\n        conv = self.conv(x)\n", ("norm statistics, train or eval",)),
    "norm after the sum": ("steps", "Steps", "layer(self.norm(x))", "self.norm(layer(x))", ("order of layers",)),
    # dtypes
    "not computed in float32": ("half", "Half", "wide = x.astype(mx.float32)", "wide = x",
        ("dtype", "dtype promotion")),
    "indices that wrap": ("tokens", "Tokens", "mx.stop_gradient(mx.argmax(x, axis=-1)).astype(mx.int64)",
        "mx.argmax(x, axis=-1)", ("dtype",)),
    # slices
    "second token for the first": ("bert", "BertPooler", "[:, 0]", "[:, 1]", ("wrong index",)),
    "last token for the first": ("vit", "ViTPooler", "[:, 0]", "[:, -1]", ("wrong index",)),
    "slice off by one": ("swin", "SwinPatchMerging", "input_feature_2[:, 1::2, 0::2, :],\n                input",
        "input_feature_2[:, 0::2, 0::2, :],\n                input", ("off-by-one slice", "step of a slice")),
    "halves exchanged": ("turned", "Turned", "mx.concatenate([-x2, x1], axis=-1) * sin\n        k",
        "mx.concatenate([x1, -x2], axis=-1) * sin\n        k",
        ("order of concatenation", "sign or order of the halves")),
    "sign of a half": ("turned", "Turned", "[-x2, x1], axis=-1) * sin\n        return",
        "[x2, x1], axis=-1) * sin\n        return", ("sign", "sign or order of the halves")),
    # layers
    "key for query": ("llama", "LlamaAttention", "self.q_proj(hidden_states)", "self.o_proj(hidden_states)",
        ("wrong layer",)),
    "gate and up exchanged": ("llama", "LlamaMLP", "self.act_fn(self.gate_proj(x)) * self.up_proj(x)",
        "self.act_fn(self.up_proj(x)) * self.gate_proj(x)", ("wrong layer",)),
    "norm left out": ("gpt2", "GPT2Block", "        hidden_states_2 = self.ln_2(hidden_states)\n", "",
        ("missing layer",)),
    "cosine for sine": ("llama", "LlamaRotaryEmbedding", "mx.sin(emb)", "mx.cos(emb)", ("another function",)),
    "minus for plus": ("steps", "Steps", "x = x + nn.gelu", "x = x - nn.gelu", ("operator",)),
    "a number": ("steps", "Steps", ") * 3)", ") * 2)", ("wrong number", "wrong scale")),
    "one layer short": ("nanogpt", "NanoGPT", "for block in self.blocks:", "for block in self.blocks[:-1]:",
        ("loop over layers", "off-by-one slice")),
    "average for maximum": ("hf_resnet", "ResNetEmbeddings", "nn.MaxPool2d", "nn.AvgPool2d", ("another pooling",)),
    "nearest for linear": ("unet", "UNet", "nn.Upsample(scale_factor=2, mode=\"linear\")(x_3)",
        "nn.Upsample(scale_factor=2)(x_3)", ("upsampling mode",)),
    "padding of a convolution": ("hf_resnet", "ResNetConvLayer2", "padding=1, ", "", ("padding",)),
    "positions from one": ("nanogpt", "NanoGPT", "mx.arange(ids.shape[1], dtype",
        "mx.arange(1, ids.shape[1] + 1, dtype", ("position offset",)),
    "outputs exchanged": ("llama", "LlamaRotaryEmbedding", "return (cos, sin)", "return (sin, cos)",
        ("order of results",)),
    "stack of an LSTM": ("lstm_gru", "Tagger", "self.gru(self.lstm(self.embed(ids))[0])",
        "self.gru(self.lstm(self.embed(ids)[:, ::-1])[0])", ("slice that torch has not", "step of a slice")),
}


def planted(name: str, generated: str) -> str:
    """The generated source with a bug in it."""
    _, _, right, wrong, _ = PLANTED[name]
    assert right in generated, f"{name}: the generated class reads otherwise now\n{generated}"
    changed = generated.replace(right, wrong) if "everywhere" in name else generated.replace(right, wrong, 1)
    if "bottom_right_attention" in wrong:  # the name alone does not make the bug
        changed = changed.replace(wrong, "mx.fast.scaled_dot_product_attention(")
        changed = changed.replace("scale=", 'mask="causal", scale=')
    return changed
