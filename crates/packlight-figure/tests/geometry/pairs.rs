//! Pairs of markers lie where their values are.

use packlight_figure::{Pair, PairAxis, PairColumn, Spread, side_by_side};

use crate::caption;
use crate::drawing::{Drawing, MUTED, Path, close};

fn pair(first: f64, second: f64, exceeds: bool) -> Option<Pair> {
    let end = |value: f64| Spread { value, low: value - 0.05, high: value + 0.05 };
    Some(Pair { ends: [end(first), end(second)], exceeds, said: format!("{first} to {second}") })
}

#[test]
fn the_second_marker_lies_below_the_first_and_both_at_their_values() {
    let pairs = [pair(0.2, 0.8, true), None, pair(0.5, 0.5, false)];
    let column = PairColumn { name: "accuracy", pairs: &pairs };
    let rows = ["none", "pool2", "q2"];
    let axis = PairAxis::Linear("accuracy");
    let figure = side_by_side(&caption("pairs"), ["a", "b"], axis, &rows, &[column]).unwrap();
    let drawing = Drawing::of(&figure);
    let panel = &drawing.panels()[0];
    let ticks = |text: &str| drawing.labels.iter().find(|l| l.text == text).unwrap().at.0;
    let (zero, one) = (ticks("0.2"), ticks("0.8"));
    let hovers: Vec<&String> = drawing.hovers.iter().map(|(_, text)| text).collect();
    assert!(hovers.contains(&&"none, accuracy: 0.2 to 0.8".to_owned()), "{hovers:?}");
    assert_eq!(hovers.len(), 2, "a row without a pair has no text");
    let height = (panel.bottom - panel.top) / 3.0;
    let middle = |row: usize| panel.top + height * (row as f64 + 0.5);
    for (row, name) in rows.iter().enumerate() {
        let label = drawing.labels.iter().find(|l| l.text == *name).unwrap();
        close(label.at.1, middle(row), name);
    }
    // The solid line of the first row goes from one value to the other, a little downwards.
    let csv = "none,accuracy,a,0.2,";
    assert!(
        figure.csv.contains(csv) && figure.csv.contains("q2,accuracy,b,0.5,"),
        "{}",
        figure.csv
    );
    let from_to = |line: &&Path| {
        let [first, .., last] = &line.points[..] else { return false };
        (first.0 - zero).abs() < 1.5 && (last.0 - one).abs() < 1.5
    };
    let solid = drawing.lines.iter().filter(|line| line.color == MUTED).find(from_to).unwrap();
    assert!(solid.points[0].1 < middle(0) && solid.points[1].1 > middle(0), "{solid:?}");
}

#[test]
fn what_cannot_be_drawn_is_an_error() {
    let column = |pairs| PairColumn { name: "error", pairs };
    let none = [pair(0.0, 0.3, false)];
    let log = PairAxis::Log("error");
    assert!(side_by_side(&caption("p"), ["a", "b"], log, &["fc"], &[column(&none)]).is_err());
    let linear = PairAxis::Linear("error");
    assert!(side_by_side(&caption("p"), ["a", "b"], linear, &["fc"], &[column(&[])]).is_err());
    assert!(side_by_side(&caption("p"), ["a", "b"], linear, &[], &[column(&[])]).is_err());
}
