//! Figures of single layers: the map of errors, levels, the frontier, allocations.

use packlight_figure::{
    Chosen, CodecLevels, CodecParts, ErrorParts, ErrorRow, Family, LayerError, LayerLevels,
    LayerPoint, PredictedPlan, Strip, TwoWays, UniformPlan, allocation_strips, bias_and_variance,
    calibration, error_by_level, error_map, frontier, layer_scatter,
};

use crate::caption;
use crate::drawing::{Drawing, PLANS, TEXT, brightness, close};

const UNDEFINED: &str = "#D0D5DA";
const EXACT: &str = "#98A2AD";
const LINES: f64 = 2.0;

fn measured(error: f64, kept: f64) -> LayerError {
    LayerError { error, low: 0.5 * error, high: 2.0 * error, n: 8, kept }
}

#[test]
fn the_map_s_cells_lie_at_their_layer_and_codec() {
    let at = |error: f64| Some(measured(error, 256.0));
    let cells =
        [[at(0.001), at(0.02), at(0.3)], [at(0.5), at(0.5), at(0.5)], [at(0.002), None, at(0.04)]];
    let names = ["conv1", "layer1.0.conv1", "fc"];
    let row =
        |i: usize| ErrorRow { layer: names[i], raw: 1024.0, at_floor: i == 1, cells: &cells[i] };
    let rows = [0, 1, 2].map(row);
    let codecs = ["q8", "q4", "q2"];
    let figure = error_map(&caption("map"), &codecs, &rows).unwrap();
    let drawing = Drawing::of(&figure);
    let panel = &drawing.panels()[0];
    let found = drawing.filled_in(panel, &[]);
    assert_eq!(found.len(), 8, "one cell is a gap");
    let (width, height) = ((panel.right - panel.left) / 3.0, (panel.bottom - panel.top) / 3.0);
    let cell = |row: usize, column: usize| {
        let (left, top) = (panel.left + width * column as f64, panel.top + height * row as f64);
        found.iter().find(|r| (r.left - left).abs() < 1.5 && (r.top - top).abs() < 1.5)
    };
    assert!(cell(2, 1).is_none());
    for (column, codec) in codecs.iter().enumerate() {
        let floor = cell(1, column).unwrap();
        assert_eq!(floor.color, UNDEFINED);
        close(floor.right - floor.left, width, "width");
        let below = drawing.labels.iter().find(|l| l.text == *codec).unwrap();
        close(below.at.0, (floor.left + floor.right) / 2.0, "codec");
    }
    let bright = |row, column| brightness(&cell(row, column).unwrap().color);
    let order = [bright(0, 0), bright(2, 0), bright(0, 1), bright(2, 2), bright(0, 2)];
    assert!(order.is_sorted_by(|a, b| a > b), "larger errors are darker: {order:?}");
    for (i, name) in names.iter().enumerate() {
        let label = drawing.labels.iter().find(|l| l.text == *name).unwrap();
        close(label.at.1, panel.top + height * (i as f64 + 0.5), name);
    }
    assert!(drawing.labels.iter().any(|label| label.text == "0.300"), "values stand in cells");
    let said =
        "fc, q2: error 0.0400 (95 % interval 0.0200 to 0.0800, n = 8), keeps 256 B of 1.00 KiB";
    assert!(drawing.hovers.iter().any(|(_, text)| text == said), "{:?}", drawing.hovers);
    assert!(figure.csv.contains("fc,q2,0.04,0.02,0.08,8,256,1024,false"), "{}", figure.csv);
}

#[test]
fn levels_are_drawn_at_their_share_and_error_with_median_and_extremes() {
    let errors = [[0.001, 0.01, 0.1], [0.002, 0.02, 0.2], [0.004, 0.04, 0.4]];
    let shares = [0.25, 0.125, 0.0625];
    let cells: Vec<Vec<Option<LayerError>>> = errors
        .iter()
        .map(|of| of.iter().zip(shares).map(|(e, s)| Some(measured(*e, 1000.0 * s))).collect())
        .collect();
    let names = ["best", "middle", "worst"];
    let layers: Vec<LayerLevels<'_>> = names
        .iter()
        .zip(&cells)
        .map(|(layer, levels)| LayerLevels { layer, raw: 1000.0, levels })
        .collect();
    let codecs = ["q8", "q4", "q2"];
    let family = CodecLevels { name: "q…", codecs: &codecs, layers: &layers };
    let drawing = Drawing::of(&error_by_level(&caption("levels"), &[family]).unwrap());
    let panel = &drawing.panels()[0];
    let (x, y) = (drawing.x_axis(panel), drawing.y_axis(panel));
    assert!(x.is_log() && y.is_log());
    // Vermilion for the largest error, blue for the smallest, black for the median.
    for (color, of) in [(PLANS[0], 1), (PLANS[2], 2), (PLANS[1], 0)] {
        let line = drawing.lines_in(panel, color, LINES)[0];
        for (point, (share, error)) in line.points.iter().zip(shares.iter().zip(errors[of])) {
            close(point.0, x.at(*share), "share");
            close(point.1, y.at(error), "error");
        }
    }
    let inside =
        |text: &str| drawing.labels.iter().any(|l| l.text == text && panel.holds(l.at, 0.0));
    assert!(inside("worst") && inside("best") && !inside("middle"));
    // The middle half lies half way to the neighbours.
    let band = drawing.shapes.iter().find(|shape| shape.opacity < 0.5).unwrap();
    close(band.points[0].1, y.at(0.003), "upper quartile");
    close(band.points[5].1, y.at(0.0015), "lower quartile");
}

#[test]
fn the_frontier_lies_at_its_bytes_and_errors_and_marks_its_knee() {
    const MIB: f64 = 1024.0 * 1024.0;
    let best = [(8.0 * MIB, 0.0), (4.0 * MIB, 0.001), (2.0 * MIB, 0.004), (MIB, 0.3)];
    let plan = |codec, bytes, error| {
        let (family, low, high) = (Family::FewBits, 0.5 * error, 1.5 * error);
        UniformPlan { codec, family, bytes, error, low, high, n: 8 }
    };
    let plans = [plan("q8", 4.5 * MIB, 0.002), plan("q2", 1.5 * MIB, 0.5)];
    let figure = frontier(&caption("frontier"), &best, Some(2), best[0].0, &plans).unwrap();
    let drawing = Drawing::of(&figure);
    let panel = &drawing.panels()[0];
    let (x, y) = (drawing.x_axis(panel), drawing.y_axis(panel));
    let line = drawing.lines_in(panel, PLANS[0], LINES)[0];
    assert_eq!(line.points.len(), 3, "an error of 0 has no place on a logarithmic axis");
    for (point, (bytes, error)) in line.points.iter().zip(&best[1..]) {
        close(point.0, x.at(*bytes), "bytes");
        close(point.1, y.at(*error), "error");
    }
    let ring = drawing.lines_in(panel, TEXT, LINES)[0];
    let middle = ring.points.iter().map(|p| p.0).sum::<f64>() / ring.points.len() as f64;
    close(middle, x.at(best[2].0), "knee");
    for text in ["knee", "q8", "q2", "exact"] {
        let label = drawing.labels.iter().find(|l| l.text == text).unwrap();
        assert!(panel.holds(label.at, 0.0), "{text}");
    }
    let mark = |shape: &&crate::drawing::Path| shape.color == PLANS[2] && shape.points.len() == 3;
    let marks: Vec<_> = drawing.shapes.iter().filter(mark).collect();
    let last = marks[marks.len() - 1];
    close(last.points[0].0, x.at(1.5 * MIB), "q2");
    let bars = drawing.lines_in(panel, PLANS[2], 1.0);
    for (bar, plan) in bars.iter().zip(&plans) {
        for (point, end) in bar.points.iter().zip([plan.high, plan.low]) {
            close(point.0, x.at(plan.bytes), "interval");
            close(point.1, y.at(end), "interval");
        }
    }
    assert_eq!(bars.len(), 2);
    assert!(figure.csv.contains("frontier,,2097152,0.004,,,,true"), "{}", figure.csv);
    assert!(figure.how_to_read.contains("The ring is the knee"));
    let without = frontier(&caption("frontier"), &best, None, best[0].0, &plans).unwrap();
    assert!(!without.how_to_read.contains("ring") && !without.svg.contains("knee:"));
    let nothing = frontier(&caption("frontier"), &best[..1], None, MIB, &plans);
    assert!(nothing.is_err(), "nothing but the exact plan");
}

#[test]
fn a_layer_is_as_wide_as_its_bytes_and_filled_as_far_as_they_are_kept() {
    let layers = [("conv1", 4096.0), ("layer1.0.conv1", 2048.0), ("fc", 2048.0)];
    let chosen = [
        Chosen { codec: Some(1), kept: 256.0, error: 0.01 },
        Chosen { codec: Some(0), kept: 512.0, error: 0.1 },
        Chosen { codec: None, kept: 2048.0, error: 0.0 },
    ];
    let strip = |heading| Strip { heading, chosen: &chosen };
    let strips = [strip("half"), strip("a third")];
    let figure =
        allocation_strips(&caption("strips"), "budget", &layers, &["q8", "q2"], &strips).unwrap();
    let drawing = Drawing::of(&figure);
    let panels = drawing.panels();
    assert_eq!(panels.len(), 2);
    for panel in &panels {
        let y = drawing.y_axis(panel);
        let x = drawing.x_axis(panel);
        let bars: Vec<_> =
            drawing.filled_in(panel, &[]).into_iter().filter(|r| r.top < y.at(0.0) - 0.5).collect();
        let mut from = 0.0;
        for (bar, ((_, raw), chosen)) in bars.iter().zip(layers.iter().zip(&chosen)) {
            close(bar.left, x.at(from), "left");
            from += raw;
            close(bar.right, x.at(from) - 1.0, "right");
            close(bar.top, y.at(chosen.kept / raw), "share kept");
            close(bar.bottom, y.at(0.0), "bottom");
        }
        let colors: Vec<&str> = bars.iter().map(|bar| bar.color.as_str()).collect();
        assert_eq!(colors, [PLANS[2], PLANS[1], EXACT]);
        let below: Vec<_> =
            drawing.filled_in(panel, &[]).into_iter().filter(|r| r.top > y.at(0.0) + 0.5).collect();
        assert_eq!(below.len(), 2, "an exact layer has no error");
        assert!(brightness(&below[0].color) > brightness(&below[1].color));
    }
    assert!(
        drawing.hovers.iter().any(|(_, text)| {
            text == "layer1.0.conv1: q8, keeps 512 B of 2.00 KiB, error 0.100"
        })
    );
    let short = [Strip { heading: "short", chosen: &chosen[..2] }];
    assert!(
        allocation_strips(&caption("strips"), "budget", &layers, &["q8", "q2"], &short).is_err()
    );
}

#[test]
fn thirteen_codecs_look_different_and_those_not_used_take_no_colour() {
    let codecs: Vec<String> = (0..15).map(|i| format!("codec{i}")).collect();
    let codecs: Vec<&str> = codecs.iter().map(String::as_str).collect();
    let layers: Vec<(&str, f64)> = codecs[2..].iter().map(|codec| (*codec, 1024.0)).collect();
    // The first two are not used.
    let chosen: Vec<Chosen> =
        (2..15).map(|codec| Chosen { codec: Some(codec), kept: 512.0, error: 0.01 }).collect();
    let strips = [Strip { heading: "from step 7", chosen: &chosen }];
    let figure = allocation_strips(&caption("strips"), "step", &layers, &codecs, &strips).unwrap();
    assert!(figure.how_to_read.starts_with("A strip for each step. "), "{}", figure.how_to_read);
    assert!(figure.csv.starts_with("step,layer,codec,"), "{}", figure.csv);
    let drawing = Drawing::of(&figure);
    let panel = &drawing.panels()[0];
    let y = drawing.y_axis(panel);
    let parts: Vec<_> =
        drawing.filled_in(panel, &[]).into_iter().filter(|r| r.top < y.at(0.0) - 0.5).collect();
    let bars: Vec<_> = parts.iter().filter(|r| (r.bottom - y.at(0.0)).abs() < 0.5).collect();
    let looks: Vec<(&str, usize)> = bars
        .iter()
        .map(|bar| (bar.color.as_str(), parts.iter().filter(|r| r.left == bar.left).count() - 1))
        .collect();
    assert_eq!(looks.len(), 13);
    assert_eq!(looks[0], (PLANS[1], 0), "the first that is used, without stripes");
    for (i, look) in looks.iter().enumerate() {
        assert!(!looks[i + 1..].contains(look), "{looks:?}");
    }
}

#[test]
fn bias_and_spread_stand_at_their_values_and_what_is_0_at_the_end() {
    let parts = |bias, spread| ErrorParts { bias, spread };
    let layers = [("conv1", parts(0.01, 0.1)), ("fc", parts(0.0, 0.03))];
    let (family, all) = (Family::Exact, parts(0.02, 0.2));
    let codecs = [CodecParts { codec: "q2", family, all, layers: &layers }];
    let figure = bias_and_variance(&caption("bias"), &codecs).unwrap();
    let drawing = Drawing::of(&figure);
    let panel = &drawing.panels()[0];
    let (x, y) = (drawing.x_axis(panel), drawing.y_axis(panel));
    let inside: Vec<_> =
        drawing.circles.iter().map(|circle| circle.0).filter(|at| panel.holds(*at, 1.0)).collect();
    assert_eq!(inside.len(), 3);
    close(inside[0].0, x.at(0.1), "spread");
    close(inside[0].1, y.at(0.01), "bias");
    close(inside[1].1, panel.bottom, "no bias");
    close(inside[2].0, x.at(0.2), "spread of all");
    assert!(drawing.labels.iter().any(|l| l.text == "q2" && panel.holds(l.at, 0.0)));
    assert!(bias_and_variance(&caption("bias"), &[]).is_err());
}

#[test]
fn predicted_and_measured_errors_stand_at_their_values_beside_the_diagonal() {
    let family = Family::Exact;
    let plan = |name, predicted, measured| PredictedPlan { name, family, predicted, measured };
    let plans = [plan("small", 0.01, &[0.02, 0.04][..]), plan("large", 2.0, &[1.0][..])];
    let figure = calibration(&caption("calibration"), &plans).unwrap();
    let drawing = Drawing::of(&figure);
    let panel = &drawing.panels()[0];
    let (x, y) = (drawing.x_axis(panel), drawing.y_axis(panel));
    let inside: Vec<_> =
        drawing.circles.iter().map(|circle| circle.0).filter(|at| panel.holds(*at, 1.0)).collect();
    for (at, (predicted, measured)) in inside.iter().zip([(0.01, 0.03), (2.0, 1.0)]) {
        close(at.0, x.at(predicted), "predicted");
        close(at.1, y.at(measured), "measured");
    }
    assert_eq!(inside.len(), 2);
    for name in ["small", "large"] {
        assert!(drawing.labels.iter().any(|l| l.text == name && panel.holds(l.at, 0.0)), "{name}");
    }
    let said = "small: predicted 0.0100, measured 0.0300 (0.0200 to 0.0400), n = 2";
    assert!(drawing.hovers.iter().any(|(_, text)| text == said));
    assert!(calibration(&caption("calibration"), &[]).is_err());
    assert!(calibration(&caption("calibration"), &[plan("none", 1.0, &[])]).is_err());
}

#[test]
fn two_measurements_of_a_layer_stand_at_their_values_and_what_is_not_above_0_at_the_end() {
    let point = |layer, across, up: f64| {
        let (codec, family, n) = ("q2", Family::Exact, 4);
        LayerPoint { layer, codec, family, across, up, low: up - 0.01, high: up + 0.01, n }
    };
    let points = [point("conv1", 0.1, 0.02), point("conv2", 0.3, -0.005), point("fc", 0.001, 0.5)];
    let ways = |comparable| TwoWays {
        across: ("error of the whole gradient", "error"),
        up: ("rise of the loss", "rise"),
        comparable,
    };
    let figure = layer_scatter(&caption("scatter"), ways(false), &points).unwrap();
    let drawing = Drawing::of(&figure);
    let panel = &drawing.panels()[0];
    let (x, y) = (drawing.x_axis(panel), drawing.y_axis(panel));
    assert!(x.is_log() && y.is_log());
    let inside: Vec<_> =
        drawing.circles.iter().map(|circle| circle.0).filter(|at| panel.holds(*at, 1.0)).collect();
    assert_eq!(inside.len(), 3);
    close(inside[0].0, x.at(0.1), "error");
    close(inside[0].1, y.at(0.02), "rise");
    close(inside[1].0, x.at(0.3), "error");
    close(inside[1].1, panel.bottom, "it does not rise");
    let said = "conv1, q2: error 0.100, rise 0.0200 (95 % interval 0.0100 to 0.0300, n = 4)";
    assert!(drawing.hovers.iter().any(|(_, text)| text == said), "{:?}", drawing.hovers);
    assert!(
        figure.csv.contains("layer,codec,error,rise,low,high,n\nconv1,q2,0.1,0.02,0.01,0.03,4")
    );
    assert!(!figure.how_to_read.contains("dashed"));
    // With one unit both axes have one range, and the line of equals.
    let same = layer_scatter(&caption("scatter"), ways(true), &points).unwrap();
    let drawing = Drawing::of(&same);
    let panel = &drawing.panels()[0];
    let (x, y) = (drawing.x_axis(panel), drawing.y_axis(panel));
    let share = |at: f64, from: f64, to: f64| (at - from) / (to - from);
    let across = share(x.at(0.1), panel.left, panel.right);
    assert!((across - share(y.at(0.1), panel.bottom, panel.top)).abs() < 0.01);
    assert!(same.how_to_read.contains("dashed line both are equal"));
    assert!(layer_scatter(&caption("scatter"), ways(true), &[]).is_err());
}
