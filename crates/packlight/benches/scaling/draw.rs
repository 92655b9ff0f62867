//! The points as figures.

use std::fs;
use std::path::Path;

use anyhow::Context;
use packlight::figure::{Caption, Line, Panel, curves};

use crate::{Against, BATCH, PLANS, Point, ROUNDS, THREADS, WIDTH};

const HOW_TO_READ: &str = "Each line is the mean over the rounds of one plan; the band reaches from the fastest \
    to the slowest. Full lines are steps on two threads, dashed ones on one. A quantity that is proportional to \
    what it is drawn against lies on a straight line through 0.";

/// Writes each figure as SVG, with its numbers as CSV, and a page with both to `target/scaling`.
pub(crate) fn write(points: &[Point]) -> anyhow::Result<()> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    let folder = workspace.context("the folder of the workspace")?.join("target/scaling");
    fs::create_dir_all(&folder)?;
    let mut page =
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Scaling of a step</title>\
                    <h1>Scaling of a step</h1>"
            .to_owned();
    for (against, fixed) in
        [(Against::Batch, format!("width {WIDTH}")), (Against::Width, format!("batch {BATCH}"))]
    {
        let name = against.name();
        let caption = Caption::new(format!("scaling-{name}"), format!("A step against its {name}"))
            .subtitle(format!("ResNet-18 on 32 x 32, {fixed}; {ROUNDS} rounds"));
        let series = Series::all(points, against);
        let mut time = Panel::new(name, "ms a step");
        let mut kept = Panel::new(name, "MiB kept");
        for of in &series {
            for (threads, milliseconds) in THREADS.into_iter().zip(&of.milliseconds) {
                let line = Line::new(of.plan, &of.x, milliseconds);
                let is_last = THREADS.last() == Some(&threads);
                time =
                    time.line(if is_last { line } else { line.dashed("ms a step on one thread") });
            }
            kept = kept.line(Line::new(of.plan, &of.x, &of.mebibytes));
        }
        let figure = curves(&caption, &[time, kept])?;
        fs::write(folder.join(format!("{}.svg", figure.id)), &figure.svg)?;
        fs::write(folder.join(format!("{}.csv", figure.id)), &figure.csv)?;
        page += &figure.svg;
    }
    page += &format!("<p>{HOW_TO_READ}</p></html>\n");
    let path = folder.join("index.html");
    fs::write(&path, page)?;
    eprintln!("drawn in {}", path.display());
    Ok(())
}

/// The points of a plan, as the figures take them.
struct Series {
    plan: &'static str,
    x: Vec<f64>,
    /// Of each round, for each number of threads.
    milliseconds: Vec<Vec<Vec<f64>>>,
    mebibytes: Vec<Vec<f64>>,
}

impl Series {
    fn all(points: &[Point], against: Against) -> Vec<Self> {
        let of = |plan: &'static str| {
            let own = || points.iter().filter(|p| p.against == against && p.plan == plan);
            let round = |threads: usize, round: usize| {
                own().map(|point| 1e3 * point.seconds[threads][round]).collect()
            };
            let rounds = |threads| (0..ROUNDS).map(|number| round(threads, number)).collect();
            let kept = own().map(|point| point.kept as f64 / f64::from(1 << 20));
            Self {
                plan,
                x: own().map(Point::at).collect(),
                milliseconds: (0..THREADS.len()).map(rounds).collect(),
                mebibytes: vec![kept.collect()],
            }
        };
        PLANS.map(of).into()
    }
}
