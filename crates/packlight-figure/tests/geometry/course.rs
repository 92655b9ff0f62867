//! The course of a step.

use packlight_figure::{Moment, step_course};

use crate::caption;
use crate::drawing::{Drawing, close};

const MIB: f64 = 1024.0 * 1024.0;

#[test]
fn areas_of_a_step_lie_on_each_other_and_its_peak_is_marked() {
    let bytes = [[2.0, 1.0, 0.0], [2.0, 3.0, 1.0], [2.0, 4.0, 3.0], [2.0, 0.5, 0.0]];
    let bytes = bytes.map(|parts| parts.map(|part| part * MIB));
    let names = ["conv1", "conv2", "conv2", "conv1"];
    let moments: Vec<Moment<'_>> = names
        .iter()
        .zip(&bytes)
        .enumerate()
        .map(|(at, (layer, bytes))| Moment { layer, backward: at >= 2, bytes })
        .collect();
    let figure = step_course(&caption("course"), &["kept", "gradients", "workspace"], &moments);
    let figure = figure.unwrap();
    assert!(figure.csv.contains("2,backward,conv2,2097152,4194304,3145728"), "{}", figure.csv);
    let drawing = Drawing::of(&figure);
    let panel = &drawing.panels()[0];
    let up = drawing.y_axis(panel);
    up.check();
    let width = (panel.right - panel.left) / 4.0;
    let mut below = [0.0; 4];
    assert!(drawing.shapes.len() >= 3);
    for (part, shape) in drawing.shapes.iter().take(3).enumerate() {
        assert_eq!(shape.points.len(), 16);
        for at in 0..4 {
            let above = below[at] + bytes[at][part];
            for (side, point) in shape.points[2 * at..][..2].iter().enumerate() {
                close(point.0, panel.left + (at + side) as f64 * width, "x");
                close(point.1, up.at(above), "y");
            }
            below[at] = above;
        }
    }
    assert!(drawing.labels.iter().any(|label| label.text == "peak 9.00 MiB"));
    let (area, text) = &drawing.hovers[2];
    close(area.left, panel.left + 2.0 * width, "hover");
    assert_eq!(
        text,
        "conv2, backward: 9.00 MiB (kept 2.00 MiB, gradients 4.00 MiB, workspace 3.00 MiB)"
    );
    let wrong = [Moment { layer: "conv1", backward: false, bytes: &[1.0] }];
    assert!(step_course(&caption("course"), &["kept", "gradients"], &wrong).is_err());
    assert!(step_course(&caption("course"), &["kept"], &[]).is_err());
}
