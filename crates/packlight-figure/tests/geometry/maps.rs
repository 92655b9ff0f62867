//! Figures that show values as colours: the heatmap of layers by steps, the overview of plans.

use packlight_figure::{Compared, Heatmap, PlanCosines, cosine_heatmap, cosine_overview};

use crate::caption;
use crate::drawing::{Drawing, Label, Rect, brightness, channels, close};

const UNDEFINED: &str = "#D0D5DA";

/// Cosines that rise from cell to cell, from `low` to 1; the last one of the first row undefined.
fn cosines(rows: usize, columns: usize, low: f64) -> Vec<Vec<f64>> {
    let last = (rows * columns - 1) as f64;
    let at = |row: usize, column: usize| match (row, column + 1 == columns) {
        (0, true) => f64::NAN,
        _ => low + (1.0 - low) * (row * columns + column) as f64 / last,
    };
    (0..rows).map(|row| (0..columns).map(|column| at(row, column)).collect()).collect()
}

/// Asserts that the cells fill the panel, row by row, in colours that follow the values.
fn cells(drawing: &Drawing, panel: &Rect, values: &[Vec<f64>], signed: bool) {
    let (rows, columns) = (values.len(), values[0].len());
    let found = drawing.filled_in(panel, &[]);
    assert_eq!(found.len(), rows * columns);
    let (width, height) = (panel.right - panel.left, panel.bottom - panel.top);
    let mut colors: Vec<(f64, &str)> = Vec::new();
    for (i, cell) in found.into_iter().enumerate() {
        let (row, column) = (i / columns, i % columns);
        let edge = |part: usize, of: usize, size: f64| size * part as f64 / of as f64;
        close(cell.left, panel.left + edge(column, columns, width), "left");
        close(cell.right, panel.left + edge(column + 1, columns, width), "right");
        close(cell.top, panel.top + edge(row, rows, height), "top");
        close(cell.bottom, panel.top + edge(row + 1, rows, height), "bottom");
        match values[row][column] {
            value if value.is_finite() => colors.push((value, &cell.color)),
            _ => assert_eq!(cell.color, UNDEFINED, "row {row}, column {column}"),
        }
    }
    colors.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Viridis grows brighter; the diverging scale goes from orange through white to blue.
    let rank = |color: &str| match signed {
        false => brightness(color),
        true => channels(color)[2] - channels(color)[0],
    };
    for pair in colors.windows(2) {
        if pair[0].0 < pair[1].0
            && (!signed || pair[0].0 * pair[1].0 < 0.0 || pair[1].0 - pair[0].0 > 0.5)
        {
            assert!(rank(pair[0].1) < rank(pair[1].1), "{pair:?}");
        }
    }
    let (lowest, highest) = (colors[0].1, colors[colors.len() - 1].1);
    match signed {
        true => assert_eq!((lowest, highest), ("#B35806", "#054A80")),
        false => assert_eq!((lowest, highest), ("#440154", "#FEE825")),
    }
}

#[test]
fn a_heatmap_s_cells_lie_at_their_step_in_their_colour() {
    let layers = ["conv1", "layer1.0.conv1", "layer1.0.conv2", "fc"];
    let steps = [0.0, 10.0, 20.0, 30.0, 40.0];
    for (low, signed) in [(0.0, false), (-1.0, true)] {
        let cosine = cosines(4, 5, low);
        let norm = vec![vec![0.5; 5]; 4];
        let (compared, layers, steps) = (Compared::SideBySide, &layers[..], &steps[..]);
        let map = Heatmap { compared, layers, steps, cosine: &cosine, norm: &norm, signed };
        let drawing = Drawing::of(&cosine_heatmap(&caption("heatmap"), &map).unwrap());
        let panel = &drawing.panels()[0];
        cells(&drawing, panel, &cosine, signed);
        let middle = |text: &str| drawing.labels.iter().find(|l| l.text == text).unwrap().at;
        let cells = drawing.filled_in(panel, &[]);
        for (i, layer) in layers.iter().enumerate() {
            close(middle(layer).1, (cells[5 * i].top + cells[5 * i].bottom) / 2.0, layer);
        }
        for (i, step) in ["0", "10", "20", "30", "40"].iter().enumerate() {
            let below = |l: &&Label| l.text == *step && l.at.1 == panel.bottom + 11.0;
            let label = drawing.labels.iter().find(below).unwrap();
            close(label.at.0, (cells[i].left + cells[i].right) / 2.0, step);
        }
    }
}

#[test]
fn the_overview_s_cells_lie_at_their_plan_and_layer() {
    let layers = ["conv1", "layer1.0.conv1", "fc"];
    for (low, signed) in [(0.0, false), (-1.0, true)] {
        let values = cosines(5, 3, low);
        let names = ["pool2", "pool4", "q2", "q4", "mesa"];
        let plans: Vec<_> = names
            .iter()
            .zip(&values)
            .map(|(name, cosine)| PlanCosines { name, cosine, mean: 0.5 })
            .collect();
        let drawing = Drawing::of(&cosine_overview(&caption("overview"), &layers, &plans).unwrap());
        let panel = &drawing.panels()[0];
        cells(&drawing, panel, &values, signed);
        let cells = drawing.filled_in(panel, &[]);
        for (i, name) in names.iter().enumerate() {
            let label = drawing.labels.iter().find(|l| l.text == *name).unwrap();
            close(label.at.1, (cells[3 * i].top + cells[3 * i].bottom) / 2.0, name);
        }
        for (i, layer) in layers.iter().enumerate() {
            let label = drawing.labels.iter().find(|l| l.text == *layer).unwrap();
            assert!(label.upwards);
            close(label.at.0, (cells[i].left + cells[i].right) / 2.0, layer);
        }
    }
}

#[test]
fn names_of_many_layers_do_not_overlap_and_a_pointer_shows_each() {
    let layers: Vec<String> = (0..100).map(|i| format!("layer{}.{i}.conv1", i / 25)).collect();
    let layers: Vec<&str> = layers.iter().map(String::as_str).collect();
    let cosine = vec![0.5; layers.len()];
    let plans = ["pool2", "pool4"].map(|name| PlanCosines { name, cosine: &cosine, mean: 0.5 });
    let drawing = Drawing::of(&cosine_overview(&caption("overview"), &layers, &plans).unwrap());
    let mut shown: Vec<_> =
        drawing.labels.iter().filter(|l| l.upwards && layers.contains(&l.text.as_str())).collect();
    shown.sort_by(|a, b| a.at.0.total_cmp(&b.at.0));
    assert!(shown.len() >= 33 && shown[0].text == layers[0], "{}", shown.len());
    assert!(shown.windows(2).all(|pair| pair[1].at.0 - pair[0].at.0 >= 12.0));
    let panel = &drawing.panels()[0];
    for (i, layer) in layers.iter().enumerate() {
        let printed = shown.iter().any(|label| label.text == *layer);
        let hover = drawing.hovers.iter().find(|(_, text)| text == layer);
        assert_ne!(printed, hover.is_some(), "{layer}");
        let Some((area, _)) = hover else { continue };
        let middle = panel.left + (panel.right - panel.left) * (i as f64 + 0.5) / 100.0;
        assert!(area.holds((middle, panel.top + 5.0), 1.0), "{layer}");
    }
}

#[test]
fn cosines_near_one_have_colours_by_their_distance_and_say_so() {
    let cosine = vec![vec![0.99999, 0.999], vec![0.99, 1.0]];
    let map = Heatmap {
        compared: Compared::SideBySide,
        layers: &["conv1", "fc"],
        steps: &[0.0, 10.0],
        cosine: &cosine,
        norm: &[vec![0.5; 2], vec![0.5; 2]],
        signed: true,
    };
    let figure = cosine_heatmap(&caption("near"), &map).unwrap();
    let drawing = Drawing::of(&figure);
    let bright: Vec<f64> =
        drawing.filled_in(&drawing.panels()[0], &[]).iter().map(|r| brightness(&r.color)).collect();
    assert!(bright[2] < bright[1] && bright[1] < bright[0] && bright[0] < bright[3], "{bright:?}");
    // Each decade is a step of the same length on the scale.
    let title = drawing.labels.iter().find(|label| label.text == "1 − cosine, log scale");
    assert!(title.is_some() && drawing.labels.iter().any(|label| label.text == "1e−6"));
    assert!(drawing.labels.iter().any(|label| label.text == "0.00500"), "the mean of 0.01 and 0");
    assert!(figure.how_to_read.contains("distance from 1"));
    let plans = [PlanCosines { name: "q8", mean: 0.999_495, cosine: &[0.99999, 0.999] }];
    let overview = cosine_overview(&caption("near"), &["conv1", "fc"], &plans).unwrap();
    assert!(overview.how_to_read.contains("distance from 1"));
}
