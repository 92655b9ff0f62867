//! What methods multiply and keep as something grows.

use crate::axis::{Axis, binary};
use crate::canvas::{Frame, draw};
use crate::data::{data, number};
use crate::legend::{Entry, Key};
use crate::panel::Panel;
use crate::theme::Look;
use crate::{Caption, Figure, Result, check, mean_and_range, not_empty, theme};

/// What one method multiplies and keeps at each size.
#[derive(Debug, Clone, Copy)]
pub struct MethodCosts<'a> {
    /// The method's name.
    pub method: &'a str,
    /// Multiplications.
    pub multiplications: &'a [f64],
    /// Bytes kept; not finite where another line already shows them.
    pub bytes: &'a [f64],
}

const HOW_TO_READ: &str = "One line for each method, from small to large sizes. Left: its multiplications; \
    right: the bytes that it keeps for the backward pass. All axes are logarithmic, so that what grows in \
    proportion has the same slope, and lines that are equally far apart have the same ratio. Lower is better. \
    A pointer over a marker shows its numbers.";

/// Draws the costs of methods at `sizes`, which are of what `size` names, in two panels. What is not above 0 is
/// left out.
///
/// # Errors
/// Returns an error if there is no method or no size, or a method has not one value for each size.
pub fn costs_by_size(
    caption: &Caption,
    size: &str,
    sizes: &[f64],
    methods: &[MethodCosts<'_>],
) -> Result<Figure> {
    not_empty(caption, "method", methods.len())?;
    not_empty(caption, "size", sizes.len())?;
    let mut data = data(&["method", "size", "multiplications", "kept_bytes"])?;
    for method in methods {
        check(caption, method.method, sizes.len(), method.multiplications.len())?;
        check(caption, method.method, sizes.len(), method.bytes.len())?;
        for ((size, multiplications), bytes) in
            sizes.iter().zip(method.multiplications).zip(method.bytes)
        {
            let numbers = [*size, *multiplications, *bytes].map(number);
            data.write_record([method.method.to_owned()].into_iter().chain(numbers))?;
        }
    }
    let range = |of: fn(&MethodCosts<'_>) -> Vec<f64>| {
        let (_, low, high) = mean_and_range(methods.iter().flat_map(of).filter(|v| *v > 0.0));
        (low, high)
    };
    let (_, smallest, largest) = mean_and_range(sizes.iter().copied());
    let (fewest, most) = range(|method| method.multiplications.to_vec());
    let (least, greatest) = range(|method| method.bytes.to_vec());
    let x = Axis::log(size, smallest, largest);
    let quantities: [(Axis, Values, Words); 2] = [
        (Axis::log("multiplications", fewest, most), |method| method.multiplications, times),
        (Axis::log_bytes("bytes kept", least, greatest), |method| method.bytes, binary),
    ];
    let legend: Vec<Entry> = methods
        .iter()
        .enumerate()
        .map(|(place, method)| Entry::new(method.method, theme::plan(place), Key::Line))
        .collect();
    let svg = draw(caption, theme::HEIGHT, &legend, |canvas| {
        let frames = canvas.free.grid(1, quantities.len(), 28);
        for (frame, (y, values, words)) in frames.into_iter().zip(&quantities) {
            let panel = canvas.panel(frame, &x, y, 0)?;
            for (place, method) in methods.iter().enumerate() {
                let values: Vec<f64> = values(method).iter().map(|v| drawable(*v)).collect();
                line(&panel, sizes, &values, theme::plan(place))?;
                for (size, value) in sizes.iter().zip(&values).filter(|(_, v)| v.is_finite()) {
                    let (x, y) = panel.at(*size, *value);
                    let area = Frame { left: x - 6, top: y - 6, right: x + 6, bottom: y + 6 };
                    canvas.hover(area, &format!("{} at {size}: {}", method.method, words(*value)));
                }
            }
        }
        Ok(())
    })?;
    caption.figure(svg, data, HOW_TO_READ)
}

/// The values of a method that a panel shows.
type Values = for<'m> fn(&'m MethodCosts<'_>) -> &'m [f64];
/// A value in words.
type Words = fn(f64) -> String;

fn line(panel: &Panel<'_, '_>, x: &[f64], y: &[f64], look: Look) -> Result<()> {
    panel.line(x, y, look.ink, 2, false)?;
    panel.marks(x, y, look, x.len())
}

fn times(multiplications: f64) -> String {
    format!("{multiplications:.2e} multiplications")
}

/// A logarithmic axis cannot show values that are not positive.
fn drawable(value: f64) -> f64 {
    if value > 0.0 { value } else { f64::NAN }
}
