//! Sizes, fonts and colours of all figures, in a light and a dark scheme.
//!
//! Figures are drawn in the light colours. A style sheet inside the SVG maps each colour, by its
//! hexadecimal value, to a CSS variable that follows the reader's colour scheme. A viewer without
//! CSS variables shows the light colours.

use plotters::style::RGBColor;
use plotters::style::colors::colormaps::{ColorMap, DerivedColorMap, ViridisRGB};

/// Width of every figure in pixels.
pub const WIDTH: u32 = 960;
/// Height of a figure in pixels, unless its layers need more.
pub const HEIGHT: u32 = 540;

/// Sizes of text in pixels.
pub(crate) const TITLE: f64 = 19.0;
pub(crate) const LABEL: f64 = 13.0;
pub(crate) const TICK: f64 = 12.0;

/// The most pixels of a plan's name in a legend or label.
pub(crate) const NAME: i32 = 260;
/// The most pixels of a layer's or a parameter's name.
pub(crate) const LAYER: i32 = 200;

// Not quite white, so that the style sheet does not take a heatmap's white cell for the surface.
pub(crate) const SURFACE: RGBColor = RGBColor(0xfe, 0xfe, 0xfe);
pub(crate) const TEXT: RGBColor = RGBColor(0x1b, 0x1f, 0x24);
pub(crate) const MUTED: RGBColor = RGBColor(0x55, 0x5f, 0x6a);
pub(crate) const GRID: RGBColor = RGBColor(0xe4, 0xe7, 0xeb);
pub(crate) const AXIS: RGBColor = RGBColor(0x98, 0xa2, 0xad);
pub(crate) const UNDEFINED: RGBColor = RGBColor(0xd0, 0xd5, 0xda);

/// The Okabe-Ito colours without yellow, which is illegible on white; the first is the baseline's.
pub(crate) const OKABE_ITO: [RGBColor; 7] = [
    RGBColor(0x00, 0x00, 0x00),
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0xcc, 0x79, 0xa7),
];

/// Light colour, CSS variable and dark colour.
const SCHEME: [(RGBColor, &str, &str); 13] = [
    (SURFACE, "surface", "#14181d"),
    (TEXT, "text", "#e8ebee"),
    (MUTED, "muted", "#a9b3bd"),
    (GRID, "grid", "#2b323a"),
    (AXIS, "axis", "#6b7681"),
    (UNDEFINED, "undefined", "#4a535c"),
    (OKABE_ITO[0], "black", "#f4f6f8"),
    (OKABE_ITO[1], "blue", "#3d9be0"),
    (OKABE_ITO[2], "vermilion", "#ee7d2b"),
    (OKABE_ITO[3], "green", "#1fb98c"),
    (OKABE_ITO[4], "orange", "#e6a817"),
    (OKABE_ITO[5], "sky", "#7cc6f0"),
    (OKABE_ITO[6], "purple", "#d98fb8"),
];

/// The shape of a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marker {
    Circle,
    Square,
    Triangle,
    Diamond,
    Nabla,
    Cross,
    Plus,
}

/// Colour and marker of one line, bar or point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    pub(crate) ink: RGBColor,
    pub(crate) marker: Marker,
}

impl Look {
    /// The look of the `index`-th plan of a page; the first, the baseline, is black.
    #[must_use]
    pub fn plan(index: usize) -> Self {
        plan(index)
    }
}

/// The look of the `index`-th plan; the first, the baseline, is black.
pub(crate) fn plan(index: usize) -> Look {
    let markers = [
        Marker::Circle,
        Marker::Square,
        Marker::Triangle,
        Marker::Diamond,
        Marker::Nabla,
        Marker::Cross,
        Marker::Plus,
    ];
    // After seven plans, colours repeat with other markers.
    let shift = index / OKABE_ITO.len();
    Look {
        ink: OKABE_ITO[index % OKABE_ITO.len()],
        marker: markers[(index + shift) % markers.len()],
    }
}

/// The look of the `index`-th layer of its group; see [`crate::layers`].
pub(crate) fn layer(index: usize) -> Look {
    let look = plan(index % 6 + 1);
    Look { ink: look.ink, marker: plan(index % 6).marker }
}

/// Viridis at `t` in `[0, 1]`.
pub(crate) fn sequential(t: f64) -> RGBColor {
    ViridisRGB.get_color(t.clamp(0.0, 1.0))
}

/// Orange through white to blue at `t` in `[-1, 1]`.
pub(crate) fn diverging(t: f64) -> RGBColor {
    let map = DerivedColorMap::new(&[
        RGBColor(0xb3, 0x58, 0x06),
        RGBColor(0xf1, 0xa3, 0x40),
        RGBColor(0xf7, 0xf7, 0xf7),
        RGBColor(0x67, 0xa9, 0xcf),
        RGBColor(0x05, 0x4a, 0x80),
    ]);
    map.get_color((t.clamp(-1.0, 1.0) + 1.0) / 2.0)
}

/// The style sheet of every figure.
pub(crate) fn style_sheet() -> String {
    let mut light = String::new();
    let mut dark = String::new();
    let mut rules = String::new();
    for (RGBColor(r, g, b), name, dark_value) in SCHEME {
        let hex = format!("#{r:02X}{g:02X}{b:02X}");
        light += &format!("--packlight-{name}:{hex};");
        dark += &format!("--packlight-{name}:{dark_value};");
        for property in ["fill", "stroke"] {
            rules += &format!(
                ".packlight-figure [{property}=\"{hex}\"]{{{property}:var(--packlight-{name})}}"
            );
        }
    }
    format!(
        ".packlight-figure{{{light}}}\
         @media screen and (prefers-color-scheme:dark){{.packlight-figure{{{dark}}}}}\
         {rules}\
         .packlight-figure text{{font-family:system-ui,-apple-system,\"Segoe UI\",Roboto,\
         \"Helvetica Neue\",Arial,\"DejaVu Sans\",sans-serif;\
         font-variant-numeric:tabular-nums}}\
         .packlight-figure polyline{{stroke-linejoin:round}}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_up_to_forty_two_differ_in_colour_or_marker() {
        let looks: Vec<_> = (0..42).map(plan).collect();
        for (i, a) in looks.iter().enumerate() {
            assert!(looks[i + 1..].iter().all(|b| a != b), "{i}");
        }
    }

    #[test]
    fn scales_end_where_they_should() {
        assert_eq!(sequential(-1.0), sequential(0.0));
        assert_ne!(diverging(-1.0), diverging(1.0));
        assert_eq!(diverging(0.0), RGBColor(0xf7, 0xf7, 0xf7));
    }
}
