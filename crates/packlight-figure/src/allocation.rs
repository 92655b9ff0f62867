//! Which codec each layer gets under a few budgets, or in the course of training, drawn along the network.

use crate::axis::{Axis, binary};
use crate::canvas::{Canvas, Frame, draw};
use crate::data::{data, number};
use crate::error_scale::ErrorScale;
use crate::legend::{Entry, Key};
use crate::names::Names;
use crate::panel::Panel;
use crate::theme::{self, Look};
use crate::{Caption, Figure, Result, check, not_empty, text};

/// What a layer gets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chosen {
    /// The codec's index in the slice of codecs; `None` if the layer is kept exactly.
    pub codec: Option<usize>,
    /// Bytes kept of its input.
    pub kept: f64,
    /// The error that this layer alone makes in the whole gradient, relative to its norm.
    pub error: f64,
}

/// The choices under one budget, or from one step on.
#[derive(Debug, Clone, Copy)]
pub struct Strip<'a> {
    /// The budget or the step, the bytes and the error, in a line.
    pub heading: &'a str,
    /// What each layer gets.
    pub chosen: &'a [Chosen],
}

/// The height of a strip with its heading and axis.
const STRIP: i32 = 170;
/// The ends of the cells that show errors, below the bars, as shares of the bars' height.
const ERROR: (f64, f64) = (-0.22, -0.06);

/// So many codecs have plain colours of their own.
const COLORS: usize = 6;

const HOW_TO_READ: &str = "Layers stand side by side in forward order, each as wide \
    as its input has bytes; the filled part is the share that is kept, so that areas are bytes, and its \
    colour, plain or striped, is the codec. Grey is kept exactly. The cell below a bar is the error that this layer alone \
    makes in the whole gradient, the darker the larger; there is none below exact layers. Layers that \
    save the same tensor are drawn each with its own bar, though they share a copy if they pack it \
    alike. A pointer over a layer shows its name, codec, bytes and error.";

/// Draws the strips of `layers`, given in forward order with the bytes of their inputs. There is a strip for each
/// of `what`: "budget" or "step".
///
/// # Errors
/// Returns an error if there is no layer or no strip, or the slices do not match in length.
pub fn allocation_strips(
    caption: &Caption,
    what: &str,
    layers: &[(&str, f64)],
    codecs: &[&str],
    strips: &[Strip<'_>],
) -> Result<Figure> {
    not_empty(caption, "layer", layers.len())?;
    not_empty(caption, "strip", strips.len())?;
    let mut data = data(&[what, "layer", "codec", "kept_bytes", "raw_bytes", "error"])?;
    for strip in strips {
        check(caption, strip.heading, layers.len(), strip.chosen.len())?;
        for ((layer, raw), chosen) in layers.iter().zip(strip.chosen) {
            let codec = chosen.codec.map_or("none", |i| codecs[i]);
            let [kept, raw, error] = [chosen.kept, *raw, chosen.error].map(number);
            data.write_record([strip.heading, layer, codec, &kept, &raw, &error])?;
        }
    }
    let all = || strips.iter().flat_map(|strip| strip.chosen);
    let scale = ErrorScale::of(all().map(|chosen| chosen.error));
    let used: Vec<usize> =
        (0..codecs.len()).filter(|i| all().any(|chosen| chosen.codec == Some(*i))).collect();
    let exact = Look { ink: theme::AXIS, ..theme::plan(0) };
    let mut legend = vec![Entry::new("exact", exact, Key::Fill)];
    legend.extend(used.iter().enumerate().map(|(place, codec)| {
        Entry::new(codecs[*codec], theme::layer(place), Key::Striped(stripes(place)))
    }));
    let names = Names::layers(layers.iter().map(|l| l.0), theme::TICK, theme::LAYER);
    let above = names.width(theme::TICK) + 8;
    let height = theme::HEIGHT.max((170 + above + STRIP * strips.len() as i32) as u32);
    let total: f64 = layers.iter().map(|l| l.1).sum();
    let x = Axis::bytes("inputs, uncompressed", total, 8).until(total);
    let mut y = Axis::within("share kept", ERROR.0, 1.0, 2);
    y.ticks = [0.0, 0.5, 1.0].map(|at| (at, text::decimal(at, 0.1))).into();
    let svg = draw(caption, height, &legend, |canvas| {
        scale.bar(canvas, canvas.free)?;
        let free = Frame { top: canvas.free.top + 34 + above, ..canvas.free };
        for (i, (frame, strip)) in free.grid(strips.len(), 1, 8).into_iter().zip(strips).enumerate()
        {
            let panel = canvas.panel(Frame { top: frame.top + 24, ..frame }, &x, &y, 0)?;
            panel.heading(strip.heading, strip.heading)?;
            bars(canvas, &panel, layers, (codecs, &used), strip.chosen, scale)?;
            if i == 0 {
                layer_names(canvas, &panel, layers, &names)?;
            }
        }
        Ok(())
    })?;
    caption.figure(svg, data, format!("A strip for each {what}. {HOW_TO_READ}"))
}

/// The width of the stripes of the codec that has this place among those used: after the plain colours, which repeat
/// then, there are stripes, and wider ones with each repetition.
fn stripes(place: usize) -> i32 {
    2 * (place / COLORS) as i32
}

/// The pixels of each layer's left and right end.
fn ends<'a>(
    panel: &'a Panel<'_, '_>,
    layers: &'a [(&str, f64)],
) -> impl Iterator<Item = (i32, i32)> + 'a {
    let mut from = 0.0;
    layers.iter().map(move |(_, raw)| {
        let left = panel.at(from, 0.0).0;
        from += raw;
        (left, panel.at(from, 0.0).0)
    })
}

fn bars(
    canvas: &Canvas<'_>,
    panel: &Panel<'_, '_>,
    layers: &[(&str, f64)],
    (codecs, used): (&[&str], &[usize]),
    chosen: &[Chosen],
    scale: ErrorScale,
) -> Result<()> {
    let y = |share: f64| panel.at(0.0, share).1;
    for (((left, right), (layer, raw)), chosen) in ends(panel, layers).zip(layers).zip(chosen) {
        // A gap between neighbours of one colour, if there is room.
        let right = if right - left > 3 { right - 1 } else { right };
        let place = used.iter().position(|codec| chosen.codec == Some(*codec));
        let ink = place.map_or(theme::AXIS, |place| theme::layer(place).ink);
        let top = y(chosen.kept / raw).min(y(0.0) - 1);
        canvas.striped((left, top), (right, y(0.0)), ink, place.map_or(0, stripes))?;
        if chosen.codec.is_some() {
            canvas.rectangle((left, y(ERROR.1)), (right, y(ERROR.0)), scale.color(chosen.error))?;
        }
        let area = Frame { left, top: y(1.0), right: right.max(left + 1), bottom: y(ERROR.0) };
        let codec = chosen.codec.map_or("exact", |i| codecs[i]);
        let (kept, raw) = (binary(chosen.kept), binary(*raw));
        let error = text::significant(chosen.error);
        canvas.hover(area, &format!("{layer}: {codec}, keeps {kept} of {raw}, error {error}"));
    }
    Ok(())
}

/// The names above the first strip, of the layers that are wide enough.
fn layer_names(
    canvas: &Canvas<'_>,
    panel: &Panel<'_, '_>,
    layers: &[(&str, f64)],
    names: &Names<'_>,
) -> Result<()> {
    let bottom = panel.inside().top - 26;
    for (i, (left, right)) in ends(panel, layers).enumerate() {
        if right - left >= 15 {
            let length = text::width(names.at(i), theme::TICK);
            let at = ((left + right) / 2, bottom - length / 2);
            canvas.print_upwards(at, names.at(i), theme::TICK)?;
        }
    }
    Ok(())
}
