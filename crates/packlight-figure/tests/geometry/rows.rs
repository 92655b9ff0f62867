//! Figures with a row for each layer: kept bytes and the learning indicator.

use packlight_figure::{
    IndicatorColumn, KeptBytes, KeptColumn, Quantiles, kept_bytes, learning_indicator,
};

use crate::caption;
use crate::drawing::{Drawing, Rect, TEXT, close};

const LAYERS: [&str; 3] = ["conv1", "layer1.0.conv1", "fc"];

/// The marks of `rects` in the row of layer `row`.
fn in_row<'a>(rects: &[&'a Rect], panel: &Rect, row: usize) -> Vec<&'a Rect> {
    let height = (panel.bottom - panel.top) / LAYERS.len() as f64;
    let middle = panel.top + height * (row as f64 + 0.5);
    let here = |r: &&&Rect| ((r.top + r.bottom) / 2.0 - middle).abs() < height / 2.0;
    rects.iter().filter(here).copied().collect()
}

#[test]
fn bars_of_bytes_are_as_long_as_their_bytes() {
    let kib = 1024.0;
    let kept = |scale: f64| {
        let entry = |layer, part, size: f64| {
            let (predicted, counted) = (size * scale * kib, (size * scale + 1.0) * kib);
            KeptBytes { layer, part, predicted, counted }
        };
        [entry(0, 0, 64.0), entry(1, 0, 32.0), entry(1, 1, 16.0), entry(2, 1, 8.0)]
    };
    let (whole, half) = (kept(1.0), kept(0.5));
    let columns =
        [KeptColumn { name: "none", kept: &whole }, KeptColumn { name: "pool2", kept: &half }];
    let figure = kept_bytes(&caption("bytes"), &LAYERS, &["inputs", "masks"], &columns).unwrap();
    let drawing = Drawing::of(&figure);
    let panels = drawing.panels();
    assert_eq!(panels.len(), 2);
    for (panel, column) in panels.iter().zip(&columns) {
        let axis = drawing.x_axis(panel);
        axis.check();
        let bars = drawing.filled_in(panel, &[]);
        let outlines: Vec<&Rect> = drawing
            .rects
            .iter()
            .filter(|r| !r.filled && r.color == TEXT && panel.holds((r.left, r.top), 0.0))
            .collect();
        for row in 0..LAYERS.len() {
            let here: Vec<_> = column.kept.iter().filter(|k| k.layer == row).collect();
            let (mut from, mut predicted) = (0.0, 0.0);
            let parts = in_row(&bars, panel, row);
            assert_eq!(parts.len(), here.len());
            for (bar, kept) in parts.iter().zip(here) {
                close(bar.left, axis.at(from), "from");
                from += kept.counted;
                predicted += kept.predicted;
                close(bar.right, axis.at(from), "to");
            }
            let outline = in_row(&outlines, panel, row)[0];
            close(outline.left, panel.left, "from 0");
            close(outline.right, axis.at(predicted), "predicted");
        }
    }
}

#[test]
fn bytes_that_were_not_counted_are_filled_as_predicted() {
    let kept: Vec<KeptBytes> = [(0, 0, 64.0), (0, 1, 16.0), (2, 1, 8.0)]
        .map(|(layer, part, predicted)| KeptBytes { layer, part, predicted, counted: f64::NAN })
        .into();
    let columns = [KeptColumn { name: "none", kept: &kept }];
    let figure = kept_bytes(&caption("bytes"), &LAYERS, &["inputs", "masks"], &columns).unwrap();
    assert!(figure.how_to_read.contains("was not counted"), "{}", figure.how_to_read);
    let drawing = Drawing::of(&figure);
    let panels = drawing.panels();
    let axis = drawing.x_axis(&panels[0]);
    let bars = drawing.filled_in(&panels[0], &[]);
    let first = in_row(&bars, &panels[0], 0);
    assert_eq!(first.len(), 2);
    close(first[0].right, axis.at(64.0), "inputs");
    close(first[1].right, axis.at(80.0), "masks");
    assert_ne!(first[0].color, first[1].color);
    let outlined =
        |r: &&Rect| !r.filled && r.color == TEXT && panels[0].holds((r.left, r.top), 0.0);
    assert_eq!(drawing.rects.iter().filter(outlined).count(), 0);
}

#[test]
fn indicators_lie_at_their_percentiles_and_are_cut_off_within_the_axes() {
    let quantiles = |median: f64, spread: f64| Quantiles {
        p05: median - 2.0 * spread,
        p25: median - spread,
        median,
        p75: median + spread / 2.0,
        p95: median + spread,
        nonpositive: 0.02,
    };
    let near = [Some(quantiles(0.8, 0.1)), None, Some(quantiles(0.1, 0.3))];
    let far = [Some(quantiles(0.5, 0.2)), Some(quantiles(0.0, 3.0)), Some(quantiles(0.9, 0.05))];
    let columns = [
        IndicatorColumn { name: "pool2", layers: &near },
        IndicatorColumn { name: "pool4", layers: &far },
    ];
    let figure = learning_indicator(&caption("indicator"), &LAYERS, &columns).unwrap();
    let drawing = Drawing::of(&figure);
    for (panel, column) in drawing.panels().iter().zip(&columns) {
        let axis = drawing.x_axis(panel);
        axis.check();
        let at = |value: f64| axis.at(value).clamp(panel.left, panel.right);
        let bars = drawing.filled_in(panel, &[]);
        for (row, quantiles) in column.layers.iter().enumerate() {
            let bar = in_row(&bars, panel, row)[0];
            let Some(q) = quantiles else {
                assert_eq!((bar.left, bar.right), (panel.left, panel.right), "hatched");
                continue;
            };
            close(bar.left, at(q.p25), "p25");
            close(bar.right, at(q.p75), "p75");
            let whisker = drawing.lines.iter().find(|line| {
                let points = &line.points;
                line.color == bar.color
                    && points
                        .iter()
                        .all(|p| bar.top < p.1 && p.1 < bar.bottom && panel.holds(*p, 0.0))
            });
            let whisker = &whisker.unwrap().points;
            close(whisker[0].0, at(q.p05), "p05");
            close(whisker[1].0, at(q.p95), "p95");
            let tick = drawing.lines_in(panel, TEXT, 2.0).into_iter().find(|line| {
                let (top, bottom) = (line.points[0].1, line.points[1].1);
                top < bar.top + 1.0
                    && bottom > bar.bottom - 1.0
                    && line.points[0].0 == line.points[1].0
            });
            close(tick.unwrap().points[0].0, at(q.median), "median");
        }
    }
    // What lies below -2 has a triangle at the left edge.
    let panel = &drawing.panels()[1];
    let cut = drawing.shapes.iter().filter(|s| s.color == TEXT && panel.holds(s.points[0], 0.0));
    assert_eq!(cut.map(|s| s.points[0].0).collect::<Vec<_>>(), [panel.left + 1.0]);
}
