//! Figures with lines and points: curves, small multiples, the memory over a step, trade-offs.

use packlight_figure::{
    Candidate, Cost, Family, Line, Look, MemoryTimeline, MethodCosts, Panel, cosine_multiples,
    costs_by_size, curves, memory_timeline, tradeoff,
};

use crate::caption;
use crate::drawing::{Axis, Drawing, PLANS, Path, Rect, close};

const MIB: f64 = 1024.0 * 1024.0;

/// The panel with its two axes, whose ticks are evenly spaced.
fn axes(drawing: &Drawing, panel: &Rect) -> (Axis, Axis) {
    let (x, y) = (drawing.x_axis(panel), drawing.y_axis(panel));
    x.check();
    y.check();
    (x, y)
}

/// Asserts that a line goes through these values.
#[track_caller]
fn goes_through(line: &Path, (x, y): (&Axis, &Axis), values: &[(f64, f64)]) {
    assert_eq!(line.points.len(), values.len(), "{line:?}");
    for (point, value) in line.points.iter().zip(values) {
        close(point.0, x.at(value.0), "x");
        close(point.1, y.at(value.1), "y");
    }
}

#[test]
fn curves_go_through_their_means_and_bands_reach_to_the_seeds() {
    let x = [1.0, 2.0, 3.0, 4.0, 5.0];
    let none = [vec![2.0, 1.0, 0.5, 0.1, 0.02], vec![2.2, 1.4, 0.7, 0.3, 0.04]];
    let pool = [vec![2.1, 1.5, f64::NAN, 0.6, 0.5], vec![2.3, 1.7, f64::NAN, 0.8, 0.7]];
    let panel = || {
        Panel::new("epoch", "loss")
            .line(Line::new("none", &x, &none))
            .line(Line::new("pool", &x, &pool))
    };
    let drawing = Drawing::of(&curves(&caption("curves"), &[panel(), panel().log()]).unwrap());
    let panels = drawing.panels();
    assert_eq!(panels.len(), 2);
    for (panel, log) in panels.iter().zip([false, true]) {
        let (across, up) = axes(&drawing, panel);
        assert_eq!((across.is_log(), up.is_log()), (false, log));
        let mean = |i: usize| (x[i], (none[0][i] + none[1][i]) / 2.0);
        let line = drawing.lines_in(panel, PLANS[0], 2.0);
        goes_through(line[0], (&across, &up), &[0, 1, 2, 3, 4].map(mean));
        let marks = drawing.circles.iter().filter(|(at, _)| panel.holds(*at, 0.0));
        for (i, (at, _)) in marks.enumerate() {
            close(at.0, across.at(mean(i).0), "mark");
            close(at.1, up.at(mean(i).1), "mark");
        }
        let band = |color: &str| {
            let mut all = drawing.shapes.iter().filter(|s| s.color == color && s.opacity < 0.5);
            all.find(|s| s.points.iter().all(|p| panel.holds(*p, 0.0))).unwrap()
        };
        let edges =
            (0..5).map(|i| (x[i], none[1][i])).chain((0..5).rev().map(|i| (x[i], none[0][i])));
        goes_through(band(PLANS[0]), (&across, &up), &edges.collect::<Vec<_>>());
        // A gap breaks a line in two.
        let parts = drawing.lines_in(panel, PLANS[1], 2.0);
        let mean = |i: usize| (x[i], (pool[0][i] + pool[1][i]) / 2.0);
        assert_eq!(parts.len(), 2);
        goes_through(parts[0], (&across, &up), &[0, 1].map(mean));
        goes_through(parts[1], (&across, &up), &[3, 4].map(mean));
    }
}

#[test]
fn a_single_value_has_its_range_and_a_second_quantity_its_place() {
    let train = [vec![2.0], vec![2.4]];
    let test = [vec![1.0], vec![1.2]];
    let panel = Panel::new("epoch", "loss")
        .line(Line::new("none", &[1.0], &train))
        .line(Line::new("none", &[1.0], &test).dashed("test loss"));
    let drawing = Drawing::of(&curves(&caption("curves"), &[panel]).unwrap());
    let panel = &drawing.panels()[0];
    let up = drawing.y_axis(panel);
    let (epoch, _) = drawing.circles.iter().find(|(at, _)| panel.holds(*at, 0.0)).unwrap();
    for (width, mean) in [(2.0, 2.2), (1.0, 1.1)] {
        let lines = drawing.lines_in(panel, PLANS[0], width);
        let [line] = &lines[..] else { panic!("{lines:?}") };
        let [(left, y), (right, other)] = line.points[..] else { panic!("{line:?}") };
        close((left + right) / 2.0, epoch.0, "epoch");
        close(y, up.at(mean), "mean");
        assert!(y == other && right - left >= 8.0, "{line:?}");
    }
    let bars: Vec<_> = drawing.shapes.iter().filter(|shape| shape.opacity < 0.5).collect();
    let [bar] = &bars[..] else { panic!("{bars:?}") };
    let ends = bar.points.iter().map(|point| point.1);
    close(ends.clone().fold(f64::INFINITY, f64::min), up.at(2.4), "highest seed");
    close(ends.fold(0.0, f64::max), up.at(2.0), "lowest seed");
}

#[test]
fn small_multiples_show_each_layer_s_cosine_or_its_distance_from_1() {
    let layers = ["conv1", "layer1.0.conv1", "layer1.0.conv2"];
    let steps = [0.0, 50.0, 100.0, 150.0];
    let near = |layer: usize, step: usize| 1.0 - 0.01 * 0.2f64.powi(layer as i32 + step as i32);
    let far = |layer: usize, step: usize| 0.9 - 0.4 * layer as f64 - 0.1 * step as f64;
    for (zoomed, cosine) in [(false, &far as &dyn Fn(usize, usize) -> f64), (true, &near)] {
        let data: Vec<Vec<Vec<f64>>> =
            (0..3).map(|layer| vec![(0..4).map(|step| cosine(layer, step)).collect()]).collect();
        let figure = cosine_multiples(&caption("multiples"), &layers, &steps, &data).unwrap();
        let drawing = Drawing::of(&figure);
        let panel = &drawing.panels()[0];
        let (across, up) = axes(&drawing, panel);
        assert_eq!(up.is_log(), zoomed);
        let lines: Vec<&Path> =
            PLANS[1..].iter().flat_map(|color| drawing.lines_in(panel, color, 2.0)).collect();
        assert_eq!(lines.len(), 3);
        for (layer, line) in lines.into_iter().enumerate() {
            let shown = |c: f64| if zoomed { 1.0 - c } else { c };
            let value = |step: usize| (steps[step], shown(cosine(layer, step)));
            goes_through(line, (&across, &up), &[0, 1, 2, 3].map(value));
        }
    }
}

#[test]
fn the_timeline_steps_through_its_bytes_and_marks_the_peak() {
    let kept = [2.0, 3.0, 5.5, 3.0, 2.0, 0.0].map(|m| m * MIB);
    let live = [2.5, 3.5, 6.5, 4.0, 2.0, 0.5].map(|m| m * MIB);
    let course =
        MemoryTimeline { name: "none", look: Look::plan(0), kept: &kept, live: &live, backward: 3 };
    let figure = memory_timeline(&caption("timeline"), &[(0, "conv1")], &[course]).unwrap();
    let drawing = Drawing::of(&figure);
    let panel = &drawing.panels()[0];
    let (across, up) = axes(&drawing, panel);
    let mut values = vec![(-3.0, kept[0])];
    for i in 1..6 {
        values.extend([(i as f64 - 3.0, kept[i - 1]), (i as f64 - 3.0, kept[i])]);
    }
    goes_through(drawing.lines_in(panel, PLANS[0], 2.0)[0], (&across, &up), &values);
    let peak = drawing.circles.iter().find(|(at, _)| panel.holds(*at, 6.0)).unwrap().0;
    close(peak.0, across.at(-1.0), "peak");
    close(peak.1, up.at(5.5 * MIB), "peak");
    // Dashes of the live bytes all lie on the line through them.
    for dash in drawing.lines_in(panel, PLANS[0], 1.0) {
        for (x, y) in &dash.points {
            let event = (x - across.at(-3.0)) / (across.at(-2.0) - across.at(-3.0));
            let (i, part) = ((event as usize).min(4), event - (event as usize).min(4) as f64);
            let expected = up.at(live[i]) + part * (up.at(live[i + 1]) - up.at(live[i]));
            assert!((y - expected).abs() <= 3.0, "{x}, {y}: {expected} expected");
        }
    }
}

#[test]
fn tradeoffs_put_each_plan_at_its_cost_and_accuracy() {
    let plans = [
        ("none", [8.0, 8.2], [0.97, 0.98]),
        ("pool2", [4.0, 4.4], [0.95, 0.96]),
        ("pool4", [2.0, 2.2], [0.90, 0.94]),
    ];
    let far =
        plans.map(|(name, cost, accuracy)| (name, cost.map(|c: f64| c.powi(3) * 100.0), accuracy));
    let bytes = plans.map(|(name, cost, accuracy)| (name, cost.map(|c| c * MIB), accuracy));
    for (plans, cost, log) in [
        (plans, Cost::Ratio("time"), false),
        (far, Cost::Ratio("time"), true),
        (bytes, Cost::Bytes("peak"), false),
        (far, Cost::Bytes("peak"), true),
    ] {
        let candidates: Vec<_> = plans
            .iter()
            .enumerate()
            .map(|(i, (name, cost, accuracy))| {
                let (look, family) = (Look::plan(i), Family::Pooling);
                Candidate { name, look, family, cost, accuracy }
            })
            .collect();
        let drawing =
            Drawing::of(&tradeoff(&caption("tradeoff"), cost, &candidates, true).unwrap());
        let panel = &drawing.panels()[0];
        let (across, up) = axes(&drawing, panel);
        assert_eq!(across.is_log(), log);
        for ((name, cost, accuracy), color) in plans.iter().zip(PLANS) {
            let (x, y) =
                (across.at((cost[0] + cost[1]) / 2.0), up.at((accuracy[0] + accuracy[1]) / 2.0));
            // The bars: upright from the lowest to the highest seed, then level.
            let bars = drawing.lines_in(panel, color, 1.0);
            for (end, low, high) in [
                (0, (x, up.at(accuracy[0])), (x, up.at(accuracy[1]))),
                (1, (across.at(cost[0]), y), (across.at(cost[1]), y)),
            ] {
                let mut points = bars[end].points.clone();
                points.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
                for (found, expected) in points.iter().zip([low, high]) {
                    close(found.0, expected.0, name);
                    close(found.1, expected.1, name);
                }
            }
        }
        let (marker, _) = drawing.circles[0];
        close(marker.0, across.at((plans[0].1[0] + plans[0].1[1]) / 2.0), "marker");
        close(marker.1, up.at((plans[0].2[0] + plans[0].2[1]) / 2.0), "marker");
    }
}

#[test]
fn costs_go_through_their_numbers_on_logarithmic_axes_and_what_is_unknown_is_left_out() {
    let sizes = [8.0, 16.0, 32.0];
    let (few, many) = ([2e9, 8e9, 3.2e10], [5e11, 7e12, 1e14]);
    let (bytes, unknown) = ([2.0 * MIB, 8.0 * MIB, 32.0 * MIB], [f64::NAN; 3]);
    let method = |method, multiplications, bytes| MethodCosts { method, multiplications, bytes };
    let methods = [method("vanilla", &few, &bytes), method("HOSVD", &many, &unknown)];
    let figure = costs_by_size(&caption("costs"), "side in pixels", &sizes, &methods).unwrap();
    assert!(figure.csv.contains("HOSVD,16,7000000000000,\n"), "{}", figure.csv);
    let drawing = Drawing::of(&figure);
    let panels = drawing.panels();
    assert_eq!(panels.len(), 2);
    for (panel, values) in [(&panels[0], few), (&panels[1], bytes)] {
        let (across, up) = axes(&drawing, panel);
        assert!(across.is_log() && up.is_log());
        let line = drawing.lines_in(panel, PLANS[0], 2.0);
        let points: Vec<_> = sizes.into_iter().zip(values).collect();
        goes_through(line[0], (&across, &up), &points);
    }
    assert_eq!(drawing.lines_in(&panels[0], PLANS[1], 2.0).len(), 1);
    assert!(drawing.lines_in(&panels[1], PLANS[1], 2.0).is_empty());
    assert!(drawing.hovers.iter().any(|(_, text)| text == "vanilla at 16: 8.00 MiB"));
    let uneven = [method("vanilla", &few[..2], &bytes)];
    assert!(costs_by_size(&caption("costs"), "side", &sizes, &uneven).is_err());
    assert!(costs_by_size(&caption("costs"), "side", &[], &[]).is_err());
}
