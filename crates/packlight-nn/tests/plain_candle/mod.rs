//! A vision transformer, a mixer and a transformer in plain candle operations: what ours are held
//! against. All have features of 8, two heads and two blocks.

use candle_core::{D, Device, Result, Tensor};
use packlight_nn::model::{Model, PADDING};
use toml::Value;

/// The model's parameters in plain candle operations.
pub(crate) struct Candle<'a>(pub(crate) &'a Model);

impl Candle<'_> {
    fn var(&self, name: &str) -> &Tensor {
        self.0.parameters().named().find(|(found, _)| *found == name).unwrap().1
    }

    fn linear(&self, x: &Tensor, name: &str) -> Result<Tensor> {
        let weight = self.var(&format!("{name}.weight"));
        x.broadcast_matmul(&weight.t()?)?.broadcast_add(self.var(&format!("{name}.bias")))
    }

    fn norm(&self, x: &Tensor, name: &str, epsilon: f64) -> Result<Tensor> {
        let centered = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let deviation = (centered.sqr()?.mean_keepdim(D::Minus1)? + epsilon)?.sqrt()?;
        centered
            .broadcast_div(&deviation)?
            .broadcast_mul(self.var(&format!("{name}.weight")))?
            .broadcast_add(self.var(&format!("{name}.bias")))
    }

    fn patches(&self, images: &Tensor, name: &str, patch: usize) -> Result<Tensor> {
        let maps = images.conv2d(self.var(&format!("{name}.weight")), 0, patch, 1, 1)?;
        let bias = self.var(&format!("{name}.bias")).reshape((1, (), 1, 1))?;
        maps.broadcast_add(&bias)?.flatten_from(2)?.transpose(1, 2)
    }

    fn feed_forward(&self, x: &Tensor, name: &str, layers: [&str; 2]) -> Result<Tensor> {
        let hidden = self.linear(x, &format!("{name}.{}", layers[0]))?;
        let hidden = match self.0.spec().option("activation") {
            Some(Value::String(name)) if name == "silu" => hidden.silu()?,
            _ => gelu(&hidden)?,
        };
        self.linear(&hidden, &format!("{name}.{}", layers[1]))
    }

    pub(crate) fn vit(&self, images: &Tensor) -> Result<Tensor> {
        let x = self.patches(images, "patch_embed.proj", 4)?;
        let class = self.var("cls_token").broadcast_as((x.dims()[0], 1, 8))?;
        let mut x = Tensor::cat(&[&class, &x], 1)?.broadcast_add(self.var("pos_embed"))?;
        for block in ["blocks.0", "blocks.1"] {
            let y = self.norm(&x, &format!("{block}.norm1"), 1e-6)?;
            let qkv = self.linear(&y, &format!("{block}.attn.qkv"))?.chunk(3, 2)?;
            let y = attention(&qkv[0], &qkv[1], &qkv[2], None)?;
            x = (x + self.linear(&y, &format!("{block}.attn.proj"))?)?;
            let y = self.norm(&x, &format!("{block}.norm2"), 1e-6)?;
            x = (x + self.feed_forward(&y, &format!("{block}.mlp"), ["fc1", "fc2"])?)?;
        }
        self.linear(&self.norm(&x, "norm", 1e-6)?.narrow(1, 0, 1)?.squeeze(1)?, "head")
    }

    pub(crate) fn mixer(&self, images: &Tensor) -> Result<Tensor> {
        let mut x = self.patches(images, "stem.proj", 4)?;
        for block in ["blocks.0", "blocks.1"] {
            let y = self.norm(&x, &format!("{block}.norm1"), 1e-6)?.transpose(1, 2)?;
            let y = self.feed_forward(&y, &format!("{block}.mlp_tokens"), ["fc1", "fc2"])?;
            x = (x + y.transpose(1, 2)?)?;
            let y = self.norm(&x, &format!("{block}.norm2"), 1e-6)?;
            x = (x + self.feed_forward(&y, &format!("{block}.mlp_channels"), ["fc1", "fc2"])?)?;
        }
        self.linear(&self.norm(&x, "norm", 1e-6)?.mean(1)?, "head")
    }

    pub(crate) fn transformer(&self, source: &Tensor, target: &Tensor) -> Result<Tensor> {
        let padding = masked(source, |token, _, _| token == PADDING)?.narrow(2, 0, 1)?;
        let future = masked(target, |_, query, key| key > query)?;
        let mut memory = self.embedded(source, "src")?;
        for layer in ["encoder.encoder_layers.0", "encoder.encoder_layers.1"] {
            let name = |part: &str| format!("{layer}.{part}");
            let y = self.norm(&memory, &name("sublayers.0.norm"), 1e-5)?;
            let y = self.attend(&y, &y, &name("multi_headed_attention"), &padding)?;
            memory = (memory + y)?;
            let y = self.norm(&memory, &name("sublayers.1.norm"), 1e-5)?;
            let names = ["linear1", "linear2"];
            memory = (memory + self.feed_forward(&y, &name("pointwise_net"), names)?)?;
        }
        let memory = self.norm(&memory, "encoder.norm", 1e-5)?;
        let mut x = self.embedded(target, "trg")?;
        for layer in ["decoder.decoder_layers.0", "decoder.decoder_layers.1"] {
            let name = |part: &str| format!("{layer}.{part}");
            let y = self.norm(&x, &name("sublayers.0.norm"), 1e-5)?;
            x = (x + self.attend(&y, &y, &name("trg_multi_headed_attention"), &future)?)?;
            let y = self.norm(&x, &name("sublayers.1.norm"), 1e-5)?;
            x = (x + self.attend(&y, &memory, &name("src_multi_headed_attention"), &padding)?)?;
            let y = self.norm(&x, &name("sublayers.2.norm"), 1e-5)?;
            let names = ["linear1", "linear2"];
            x = (x + self.feed_forward(&y, &name("pointwise_net"), names)?)?;
        }
        self.linear(&self.norm(&x, "decoder.norm", 1e-5)?, "decoder_generator.linear")
    }

    fn embedded(&self, tokens: &Tensor, side: &str) -> Result<Tensor> {
        let (samples, length) = tokens.dims2()?;
        let table = self.var(&format!("{side}_embedding.embeddings_table.weight"));
        let rows = table.index_select(&tokens.flatten_all()?, 0)?.reshape((samples, length, 8))?;
        let angle = |place: usize, pair: usize| place as f64 / 10f64.powi(pair as i32);
        let position = |at: usize| match (angle(at / 8, at % 8 / 2), at % 2) {
            (angle, 0) => angle.sin(),
            (angle, _) => angle.cos(),
        };
        let positions: Vec<f64> = (0..length * 8).map(position).collect();
        (rows * 8f64.sqrt())?.broadcast_add(&Tensor::from_vec(
            positions,
            (1, length, 8),
            tokens.device(),
        )?)
    }

    fn attend(&self, x: &Tensor, memory: &Tensor, name: &str, mask: &Tensor) -> Result<Tensor> {
        let net = |x: &Tensor, number: usize| self.linear(x, &format!("{name}.qkv_nets.{number}"));
        let y = attention(&net(x, 0)?, &net(memory, 1)?, &net(memory, 2)?, Some(mask))?;
        self.linear(&y, &format!("{name}.out_projection_net"))
    }
}

/// The gradient of candle's own (0.11) has a constant of ten digits.
fn gelu(x: &Tensor) -> Result<Tensor> {
    (x * ((x / 2f64.sqrt())?.erf()? + 1.0)?)? * 0.5
}

/// Two heads of four features.
fn attention(q: &Tensor, k: &Tensor, v: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
    let heads = |x: &Tensor| {
        let (samples, tokens, _) = x.dims3()?;
        x.contiguous()?.reshape((samples, tokens, 2, 4))?.transpose(1, 2)?.contiguous()
    };
    let mut scores = (heads(q)?.matmul(&heads(k)?.transpose(2, 3)?)? / 2.0)?;
    if let Some(mask) = mask {
        scores = scores.broadcast_add(mask)?;
    }
    let powers = scores.exp()?;
    let probabilities = powers.broadcast_div(&powers.sum_keepdim(D::Minus1)?)?;
    let mixed = probabilities.matmul(&heads(v)?)?.transpose(1, 2)?.contiguous()?;
    mixed.flatten_from(2)
}

/// -inf (N, 1, length, length) where `hidden` of a key's token, the query and the key.
fn masked(tokens: &Tensor, hidden: impl Fn(u32, usize, usize) -> bool) -> Result<Tensor> {
    let (samples, length) = tokens.dims2()?;
    let tokens = tokens.to_vec2::<u32>()?;
    let mask = |at: usize| {
        let (query, key) = (at / length % length, at % length);
        match hidden(tokens[at / length / length][key], query, key) {
            true => f64::NEG_INFINITY,
            false => 0.0,
        }
    };
    let mask: Vec<f64> = (0..samples * length * length).map(mask).collect();
    Tensor::from_vec(mask, (samples, 1, length, length), &Device::Cpu)
}
