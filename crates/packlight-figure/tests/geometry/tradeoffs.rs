//! Labels, lists and colours of trade-offs, with few and with many plans.

use packlight_figure::{
    Candidate, Cost, Family, Look, NetworkLosses, PlanLoss, accuracy_loss, pareto_front, tradeoff,
};

use crate::caption;
use crate::drawing::{Drawing, Label, PLANS, Rect, close};

const GRID: &str = "#E4E7EB";

/// The area that a label surely covers.
fn area(label: &Label) -> Rect {
    let ((left, right), half) = (label.reach(), 0.3 * label.size);
    let (top, bottom) = (label.at.1 - half, label.at.1 + half);
    Rect { left, top, right, bottom, color: String::new(), filled: false }
}

/// Asserts that the labels inside the axes touch neither each other nor a line or a marker.
fn labels_are_clear(drawing: &Drawing, labels: &[&Label]) {
    for (i, label) in labels.iter().enumerate() {
        let own = area(label);
        for other in labels[i + 1..].iter().map(|other| area(other)) {
            let apart = own.right <= other.left
                || other.right <= own.left
                || own.bottom <= other.top
                || other.bottom <= own.top;
            assert!(apart, "{label:?} {other:?}");
        }
        for line in drawing.lines.iter().filter(|line| line.color != GRID) {
            for ends in line.points.windows(2) {
                for step in 0..=100 {
                    let part = f64::from(step) / 100.0;
                    let along = |from: f64, to: f64| from + part * (to - from);
                    let point = (along(ends[0].0, ends[1].0), along(ends[0].1, ends[1].1));
                    assert!(!own.holds(point, 0.0), "{label:?} is struck through by {line:?}");
                }
            }
        }
        let marks = drawing.circles.iter().map(|(at, _)| *at);
        let corners = drawing.shapes.iter().filter(|s| s.opacity > 0.9).map(|s| s.points[0]);
        for point in marks.chain(corners) {
            assert!(!own.holds(point, 0.0), "{label:?} {point:?}");
        }
    }
}

/// The labels with a letter inside the axes.
fn inside(drawing: &Drawing) -> Vec<&Label> {
    let panel = &drawing.panels()[0];
    drawing.labels.iter().filter(|label| panel.holds(label.at, 0.0)).collect()
}

#[test]
fn bars_of_a_few_plans_strike_no_label() {
    // Costs and accuracies of a study whose baseline's time varied by a third.
    let cost = [[1.0, 1.37], [0.83, 0.92], [0.77, 0.84], [0.78, 0.92], [0.76, 0.84]];
    let accuracy = [[0.972, 0.978], [0.964, 0.972], [0.936, 0.964], [0.975, 0.977], [0.958, 0.97]];
    let candidates: Vec<_> = ["none", "pool2", "pool4", "pool2-long", "pool4-long"]
        .iter()
        .enumerate()
        .map(|(i, name)| {
            let (look, family) = (Look::plan(i), Family::Pooling);
            Candidate { name, look, family, cost: &cost[i], accuracy: &accuracy[i] }
        })
        .collect();
    let figure = tradeoff(&caption("few"), Cost::Ratio("time"), &candidates, true).unwrap();
    let drawing = Drawing::of(&figure);
    let labels = inside(&drawing);
    assert_eq!(labels.len(), candidates.len());
    labels_are_clear(&drawing, &labels);
}

/// A number in `[0, 1)` that looks random.
fn noise(i: usize, j: usize) -> f64 {
    ((i * 7919 + j * 104_729 + 13) as f64 * 0.618_033_988_75).fract()
}

#[test]
fn of_many_plans_the_front_and_the_extremes_are_labelled_and_all_are_listed() {
    const FAMILIES: [Family; 4] =
        [Family::Exact, Family::Pooling, Family::FewBits, Family::LowRank];
    let names: Vec<String> = (0..45).map(|i| format!("codec{}:0.{}", i / 3, i % 3)).collect();
    let cost: Vec<[f64; 3]> = (0..45)
        .map(|i| [0, 1, 2].map(|s| 1e6 * 40f64.powf(noise(i, 1)) + 1e4 * noise(i, s + 7)))
        .collect();
    let accuracy: Vec<[f64; 3]> = (0..45)
        .map(|i| [0, 1, 2].map(|s| 0.97 - 0.05 * noise(i, 2).powi(3) - 0.01 * noise(i, s)))
        .collect();
    let candidates: Vec<_> = (0..45)
        .map(|i| Candidate {
            name: &names[i],
            look: Look::plan(i),
            family: FAMILIES[i % 4],
            cost: &cost[i],
            accuracy: &accuracy[i],
        })
        .collect();
    let figure = tradeoff(&caption("many"), Cost::Bytes("held"), &candidates, true).unwrap();
    let drawing = Drawing::of(&figure);
    let panel = &drawing.panels()[0];
    assert!(drawing.x_axis(panel).is_log(), "bytes over more than a decade");

    let mean = |values: &[f64; 3]| values.iter().sum::<f64>() / 3.0;
    let means: Vec<_> = cost.iter().zip(&accuracy).map(|(c, a)| (mean(c), mean(a))).collect();
    let labels = inside(&drawing);
    let labelled = |i: usize| labels.iter().any(|label| label.text == names[i]);
    assert!(pareto_front(&means).into_iter().all(labelled), "the front");
    let lowest = (0..45).min_by(|&a, &b| means[a].1.total_cmp(&means[b].1)).unwrap();
    let dearest = (0..45).max_by(|&a, &b| means[a].0.total_cmp(&means[b].0)).unwrap();
    assert!([0, lowest, dearest].into_iter().all(labelled), "the first and the extremes");
    assert!(labels.len() < 20, "and hardly any other");
    labels_are_clear(&drawing, &labels);

    // The list below has each plan, from the cheapest to the most expensive, with its marker.
    let mut rows: Vec<(usize, &Label)> = Vec::new();
    for (i, name) in names.iter().enumerate() {
        let below = |l: &&Label| l.at.1 > panel.bottom + 40.0 && l.text == *name;
        rows.push((i, drawing.labels.iter().find(below).unwrap()));
    }
    rows.sort_by(|a, b| a.1.at.0.total_cmp(&b.1.at.0).then(a.1.at.1.total_cmp(&b.1.at.1)));
    assert!(rows.windows(2).all(|pair| means[pair[0].0].0 <= means[pair[1].0].0));
    // A pointer over a marker shows the plan, its cost, its accuracy and n.
    for (i, name) in names.iter().enumerate() {
        let said = |text: &str| text.starts_with(&format!("{name}: "));
        let (area, text) = drawing.hovers.iter().find(|(_, text)| said(text)).unwrap();
        let middle = ((area.left + area.right) / 2.0, (area.top + area.bottom) / 2.0);
        close(middle.0, drawing.x_axis(panel).at(means[i].0), name);
        close(middle.1, drawing.y_axis(panel).at(means[i].1), name);
        assert!(text.contains("MiB, accuracy 0.9") && text.ends_with("n = 3"), "{text}");
    }
    // In this figure a plan has its family's colour.
    let exact = drawing.circles.iter().filter(|(at, _)| panel.holds(*at, 0.0));
    assert_eq!(exact.filter(|(_, color)| color == PLANS[0]).count(), 12);
}

#[test]
fn a_collection_has_a_panel_for_each_network_and_the_colours_of_its_families() {
    let plan = |plan, family, bytes, difference| PlanLoss { plan, family, bytes, difference, n: 3 };
    let first = [
        plan("checkpoint", Family::Checkpointing, 0.4, 0.0),
        plan("none-again", Family::Exact, 1.0, 0.5),
        plan("lost", Family::Exact, 0.02, -71.0),
        plan("not recorded", Family::Exact, f64::NAN, -1.0),
    ];
    let second = [plan("again", Family::Exact, 0.1, -3.0)];
    let networks = [
        NetworkLosses { name: "mlp", plans: &first },
        NetworkLosses { name: "vit", plans: &second },
    ];
    let drawing = Drawing::of(&accuracy_loss(&caption("losses"), &networks).unwrap());
    let panels = drawing.panels();
    assert_eq!(panels.len(), 2);
    let circles = |panel: &Rect| -> Vec<_> {
        drawing.circles.iter().filter(|(at, _)| panel.holds(*at, 0.0)).collect()
    };
    let (across, up) = (drawing.x_axis(&panels[0]), drawing.y_axis(&panels[0]));
    assert!(across.is_log());
    let exact = circles(&panels[0]);
    assert_eq!(exact.len(), 2, "what was not recorded is left out");
    for ((at, color), (bytes, difference)) in exact.iter().zip([(1.0, 0.5), (0.02, -20.0)]) {
        close(at.0, across.at(bytes), "bytes");
        close(at.1, up.at(difference), "a difference, cut off at 20 points");
        assert_eq!(color, PLANS[0]);
    }
    let (at, _) = circles(&panels[1])[0];
    close(at.0, drawing.x_axis(&panels[1]).at(0.1), "the second network's bytes");
    let said = |text: &str| drawing.hovers.iter().any(|(_, hover)| hover.starts_with(text));
    assert!(said("lost: −71.0 points, 0.0200 of the bytes, n = 3"), "{:?}", drawing.hovers);
    assert!(accuracy_loss(&caption("losses"), &[]).is_err());
}
