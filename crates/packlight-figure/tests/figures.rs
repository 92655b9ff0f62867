//! Every kind of figure is well-formed, complete and true to its data.
//!
//! The drawings are left in cargo's folder for test files, for people to look at.

#![allow(clippy::unwrap_used)] // clippy does not see that helpers are tests

use packlight_figure::{
    Candidate, Caption, Compared, Cost, Error, Family, Figure, Heatmap, IndicatorColumn, KeptBytes,
    KeptColumn, Line, Look, MemoryTimeline, Panel, PlanCosines, Quantiles, cosine_heatmap,
    cosine_multiples, cosine_overview, curves, kept_bytes, learning_indicator, memory_timeline,
    tradeoff,
};

/// The convolutions and the linear layer of ResNet-18, in forward order.
fn resnet18() -> Vec<String> {
    let mut names = vec!["conv1".to_string()];
    for stage in 1..=4 {
        for block in 0..2 {
            names.push(format!("layer{stage}.{block}.conv1"));
            names.push(format!("layer{stage}.{block}.conv2"));
            if stage > 1 && block == 0 {
                names.push(format!("layer{stage}.0.downsample.0"));
            }
        }
    }
    names.push("fc".to_string());
    names
}

fn strs(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

/// A number in `[0, 1)` that looks random.
fn noise(i: usize, j: usize) -> f64 {
    ((i * 7919 + j * 104_729 + 13) as f64 * 0.618_033_988_75).fract()
}

fn caption(id: &str) -> Caption {
    Caption::new(
        id,
        "pool4 keeps 64 % fewer bytes than none and loses 1.4 points <of accuracy> & more",
    )
    .subtitle(
        "ResNet-18, width 8, on digits (1,438 training samples), 2 seeds, 8 epochs of 23 steps",
    )
}

fn text_of(svg: &str) -> String {
    let document = roxmltree::Document::parse(svg).unwrap();
    let mut text = String::new();
    for node in document.descendants().filter(|n| n.has_tag_name("text")) {
        text += node.text().unwrap_or_default();
        text.push('\n');
    }
    text
}

/// Checks what holds for every figure and returns its text, one label per line.
fn checked(figure: &Figure) -> String {
    std::fs::write(format!("{}/{}.svg", env!("CARGO_TARGET_TMPDIR"), figure.id), &figure.svg)
        .unwrap();
    let document = roxmltree::Document::parse(&figure.svg).unwrap();
    let root = document.root_element();
    assert_eq!(root.attribute("role"), Some("img"));
    assert_eq!(root.attribute("width"), Some("960"));
    let height: f64 = root.attribute("height").unwrap().parse().unwrap();
    let labelled: Vec<_> = root.attribute("aria-labelledby").unwrap().split(' ').collect();
    for (tag, id, text) in
        [("title", labelled[0], &figure.title), ("desc", labelled[1], &figure.subtitle)]
    {
        let node = root.children().find(|n| n.has_tag_name(tag)).unwrap();
        assert_eq!((node.attribute("id"), node.text()), (Some(id), Some(text.as_str())));
    }
    // Nothing is drawn outside the sheet.
    for node in document.descendants() {
        for (names, limit) in [(["x", "x1", "x2", "cx"], 960.0), (["y", "y1", "y2", "cy"], height)]
        {
            for value in names.iter().filter_map(|n| node.attribute(*n)) {
                let value: f64 = value.parse().unwrap();
                assert!((0.0..=limit).contains(&value), "{}: {node:?}", figure.id);
            }
        }
        for point in node.attribute("points").unwrap_or_default().split_whitespace() {
            let (x, y) = point.split_once(',').unwrap();
            let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
            assert!((0.0..=960.0).contains(&x) && (0.0..=height).contains(&y), "{}", figure.id);
        }
    }
    assert!(!figure.how_to_read.is_empty());
    assert!(figure.csv.lines().count() > 1);
    text_of(&figure.svg)
}

#[test]
fn curves_show_every_plan_with_its_n() {
    let x: Vec<f64> = (1..=8).map(f64::from).collect();
    let course = |plan: usize, from: f64, fall: f64| -> Vec<Vec<f64>> {
        (0..2)
            .map(|s| {
                (0..8)
                    .map(|e| from * (-fall * e as f64).exp() + 0.03 * noise(s + plan, e))
                    .collect()
            })
            .collect()
    };
    let names = ["none", "pool2", "pool4"];
    let losses: Vec<_> = (0..3).map(|p| course(p, 2.2, 0.6 - 0.1 * p as f64)).collect();
    let tests: Vec<_> = (0..3).map(|p| course(p, 2.3, 0.5 - 0.1 * p as f64)).collect();
    let mut accuracies: Vec<Vec<Vec<f64>>> = (0..3)
        .map(|p| course(p, 0.9, 0.6 - 0.1 * p as f64))
        .map(|seeds| seeds.into_iter().map(|s| s.into_iter().map(|v| 1.0 - v).collect()).collect())
        .collect();
    accuracies[2][0][4] = f64::NAN;
    accuracies[2][1][4] = f64::NAN;
    let mut loss = Panel::new("epoch", "loss: training (solid), test (dashed)").log();
    let mut accuracy = Panel::new("epoch", "test accuracy (fraction)").fraction();
    for (i, name) in names.iter().enumerate() {
        loss = loss.line(Line::new(name, &x, &losses[i]));
        loss = loss.line(Line::new(name, &x, &tests[i]).dashed("test loss"));
        accuracy = accuracy.line(Line::new(name, &x, &accuracies[i]));
    }
    let figure = curves(&caption("curves"), &[loss, accuracy]).unwrap();
    let text = checked(&figure);
    for label in ["none (n = 2)", "pool2 (n = 2)", "pool4 (n = 2)", "epoch", "log scale"] {
        assert!(text.contains(label), "{label}");
    }
    // A header, then three quantities of three plans, two seeds and eight epochs.
    assert_eq!(figure.csv.lines().count(), 1 + 3 * 3 * 2 * 8);
    assert!(figure.csv.contains("test loss,pool2,1,8,"));
    assert!(
        figure.csv.lines().any(|l| l == "test accuracy (fraction),pool4,0,5,"),
        "a gap is empty"
    );
}

#[test]
fn the_heatmap_keeps_forward_order_and_marks_the_undefined() {
    let names = resnet18();
    let layers = strs(&names);
    let steps: Vec<f64> = (0..16).map(|i| f64::from(i) * 12.0).collect();
    let mut cosine: Vec<Vec<f64>> = (0..21)
        .map(|l| (0..16).map(|s| 0.95 - 0.02 * l as f64 - 0.1 * noise(l, s)).collect())
        .collect();
    cosine[3][2] = f64::NAN;
    let norm = vec![vec![0.012; 16]; 21];
    let compared = Compared::SideBySide;
    let (layers, steps) = (&layers[..], &steps[..]);
    let map = Heatmap { compared, layers, steps, cosine: &cosine, norm: &norm, signed: false };
    let figure = cosine_heatmap(&caption("heatmap"), &map).unwrap();
    let text = checked(&figure);
    let places: Vec<_> = layers.iter().map(|l| text.find(&format!("{l}\n")).unwrap()).collect();
    assert!(places.is_sorted(), "rows are drawn in forward order");
    assert!(text.contains("undefined"));
    assert!(figure.csv.lines().any(|l| l == "layer1.1.conv1,24,,0.012"), "{}", figure.csv);

    let compared = Compared::WholePasses;
    let whole = cosine_heatmap(&caption("heatmap-whole"), &Heatmap { compared, ..map }).unwrap();
    checked(&whole);
    assert!(whole.csv.starts_with("parameter,step,"), "{}", whole.csv);
    assert!(whole.how_to_read.contains("two whole") && !figure.how_to_read.contains("two whole"));

    let mut cosine = cosine.clone();
    cosine[4][4] = -0.3;
    let map = Heatmap { cosine: &cosine, ..map };
    let text = checked(&cosine_heatmap(&caption("heatmap-negative"), &map).unwrap());
    assert!(text.contains("−1.0"), "the scale reaches down to -1");
}

#[test]
fn small_multiples_hold_every_layer_and_a_fixed_axis() {
    let names = resnet18();
    let layers = strs(&names);
    let steps: Vec<f64> = (0..16).map(|i| f64::from(i) * 12.0).collect();
    let cosines = |spread: f64| -> Vec<Vec<Vec<f64>>> {
        (0..21)
            .map(|l| {
                let seed = |s: usize| {
                    (0..16)
                        .map(move |t| 1.0 - spread * (0.2 + noise(l, 3 * s + t) + 0.2 * l as f64))
                        .collect()
                };
                (0..2).map(seed).collect()
            })
            .collect()
    };
    let figure = cosine_multiples(&caption("multiples"), &layers, &steps, &cosines(0.15)).unwrap();
    let text = checked(&figure);
    assert!(layers.iter().all(|l| text.contains(&format!("{l}\n"))));
    assert!(text.contains("−1.0\n") && text.contains("1.0\n"));
    assert_eq!(figure.csv.lines().count(), 1 + 21 * 2 * 16);

    let zoomed =
        cosine_multiples(&caption("multiples-zoomed"), &layers, &steps, &cosines(0.002)).unwrap();
    let text = checked(&zoomed);
    assert!(text.contains("1 − cosine, log scale"));
    assert!(zoomed.how_to_read.contains("logarithmic"));
}

#[test]
fn indicators_share_one_axis_and_say_what_is_cut_off() {
    let names = resnet18();
    let layers = strs(&names);
    let column = |loss: f64| -> Vec<Option<Quantiles>> {
        (0..21)
            .map(|l| {
                let median = 1.0 - loss * (0.3 + 0.05 * l as f64);
                (l != 7).then_some(Quantiles {
                    p05: median - 0.2 - 3.0 * f64::from(u8::from(l == 20)),
                    p25: median - 0.05,
                    median,
                    p75: median + 0.04,
                    p95: (median + 0.1).min(1.0),
                    nonpositive: if l > 17 { 0.004 * l as f64 } else { 0.0 },
                })
            })
            .collect()
    };
    let columns = [
        ("pool2", column(0.4)),
        ("pool4", column(0.8)),
        ("pool8", column(0.9)),
        ("q2", column(0.1)),
    ];
    let columns: Vec<_> =
        columns.iter().map(|(name, layers)| IndicatorColumn { name, layers }).collect();
    let figure = learning_indicator(&caption("indicator"), &layers, &columns[..2]).unwrap();
    let text = checked(&figure);
    assert!(text.contains("pool2") && text.contains("pool4"));
    assert_eq!(text.matches("learning indicator").count(), 2);
    assert!(figure.csv.lines().any(|l| l.starts_with("pool2,layer2.0.downsample.0,,,")));
    checked(&learning_indicator(&caption("indicator-four"), &layers, &columns).unwrap());
}

#[test]
fn kept_bytes_stand_beside_their_prediction() {
    let mut names = Vec::new();
    for layer in resnet18() {
        names.push(layer.clone());
        names.push(layer.replace("conv", "bn").replace("downsample.0", "downsample.1"));
        names.push(layer.replace("conv", "relu").replace("downsample.0", "relu"));
    }
    let layers = strs(&names);
    let parts = ["conv and linear inputs", "norm inputs", "masks", "statistics"];
    let kept = |ratio: f64| -> Vec<KeptBytes> {
        (0..layers.len())
            .map(|layer| {
                let size = 2_097_152.0 / f64::from(1 << (layer / 16));
                let (part, bytes) = match layer % 3 {
                    0 => (0, size * ratio),
                    1 => (1, size),
                    _ => (2, size / 32.0),
                };
                KeptBytes { layer, part, predicted: bytes, counted: bytes + 128.0 }
            })
            .collect()
    };
    let kept = [("none", kept(1.0)), ("pool2", kept(0.25)), ("pool4", kept(0.0625))];
    let columns: Vec<_> = kept.iter().map(|(name, kept)| KeptColumn { name, kept }).collect();
    let figure = kept_bytes(&caption("kept-bytes"), &layers, &parts, &columns).unwrap();
    let text = checked(&figure);
    assert!(text.contains("kept (MiB)") && text.contains("predicted by the ledger"));
    assert_eq!(figure.csv.lines().count(), 1 + 3 * layers.len());

    let stray = [KeptBytes { layer: 999, part: 0, predicted: 1.0, counted: 1.0 }];
    let stray = [KeptColumn { name: "none", kept: &stray }];
    let error = kept_bytes(&caption("kept-bytes"), &layers, &parts, &stray).unwrap_err();
    assert!(error.to_string().contains("layer 999"), "{error}");
}

#[test]
fn the_timeline_names_each_peak() {
    let course = |ratio: f64| -> (Vec<f64>, Vec<f64>) {
        let mut kept = Vec::new();
        let mut sum = 0.0;
        for i in 0..60 {
            sum += if i % 3 == 0 { 300_000.0 * ratio } else { 150_000.0 };
            kept.push(sum);
        }
        for i in (0..60).rev() {
            sum -= if i % 3 == 0 { 300_000.0 * ratio } else { 150_000.0 };
            kept.push(sum);
        }
        let live = kept.iter().enumerate().map(|(i, k)| k + 400_000.0 * noise(i, 1)).collect();
        (kept, live)
    };
    let all = [("none", course(1.0)), ("pool2", course(0.25)), ("pool4", course(0.0625))];
    let courses: Vec<_> = all
        .iter()
        .map(|(name, (kept, live))| MemoryTimeline {
            name,
            look: Look::plan(0),
            kept,
            live,
            backward: 60,
        })
        .collect();
    let stages =
        [(0, "conv1"), (3, "layer1"), (15, "layer2"), (30, "layer3"), (45, "layer4"), (59, "fc")];
    let figure = memory_timeline(&caption("timeline"), &stages, &courses).unwrap();
    let text = checked(&figure);
    assert!(text.contains("none: peak 11.4 MiB") && text.contains("backward pass"), "{text}");
    assert_eq!(figure.csv.lines().count(), 1 + 3 * 120);
}

#[test]
fn the_tradeoff_labels_do_not_overlap() {
    let peak = [[11e6, 11.1e6], [6.0e6, 6.1e6], [5.5e6, 5.6e6], [5.6e6, 5.5e6]];
    let accuracy = [[0.97, 0.975], [0.965, 0.971], [0.95, 0.958], [0.951, 0.957]];
    let candidates: Vec<_> = ["none", "pool2", "pool4", "layer3.*=pool4,default=pool2"]
        .iter()
        .enumerate()
        .map(|(i, name)| {
            let (look, family) = (Look::plan(i), Family::Pooling);
            Candidate { name, look, family, cost: &peak[i], accuracy: &accuracy[i] }
        })
        .collect();
    let cost = Cost::Bytes("peak, counting allocator");
    let figure = tradeoff(&caption("tradeoff"), cost, &candidates, true).unwrap();
    let text = checked(&figure);
    assert!(text.contains("pool4 (n = 2)") && text.contains("peak, counting allocator (MiB)"));
}

#[test]
fn the_overview_has_a_row_for_each_plan_and_keeps_what_is_undefined() {
    let layers = resnet18();
    let cosine: Vec<Vec<f64>> = (0..40)
        .map(|i| {
            let at = |j| if i == 3 && j == 5 { f64::NAN } else { 1.0 - 0.5 * noise(i, j) };
            (0..layers.len()).map(at).collect()
        })
        .collect();
    let names: Vec<String> = (0..40).map(|i| format!("codec{i}:0.5")).collect();
    let plans: Vec<_> = names
        .iter()
        .zip(&cosine)
        .map(|(name, cosine)| PlanCosines { name, cosine, mean: 0.5 })
        .collect();
    let figure = cosine_overview(&caption("overview"), &strs(&layers), &plans).unwrap();
    let text = checked(&figure);
    assert!(names.iter().all(|name| text.lines().any(|line| line == name)));
    assert!(figure.csv.contains(&format!("codec3:0.5,{},\n", layers[5])), "{}", figure.csv);
    let short = [PlanCosines { name: "q2", cosine: &[1.0], mean: 1.0 }];
    assert!(cosine_overview(&caption("overview"), &strs(&layers), &short).is_err());
}

#[test]
fn nothing_to_draw_and_unequal_slices_are_errors_that_say_so() {
    let error = curves(&caption("loss"), &[]).unwrap_err();
    assert!(matches!(error, Error::Empty { what: "panel", .. }), "{error}");
    let seeds = [vec![1.0, 2.0]];
    let panel = Panel::new("epoch", "loss").line(Line::new("none", &[1.0], &seeds));
    let error = curves(&caption("loss"), &[panel]).unwrap_err().to_string();
    assert_eq!(error, "figure loss: none: expected 1 values, found 2");
}

#[test]
fn extreme_values_are_drawn_within_the_sheet() {
    let x = [0.0];
    for value in [0.0, 1e-300, 1e300, -1e9, f64::NAN, f64::INFINITY] {
        let seeds = [vec![value]];
        for panel in [Panel::new("epoch", "loss"), Panel::new("epoch", "loss").log()] {
            let figure = curves(&caption("extreme"), &[panel.line(Line::new("none", &x, &seeds))]);
            checked(&figure.unwrap());
        }
    }
}
