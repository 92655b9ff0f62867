//! Plans whose names are as long as a study allows.

use packlight_figure::{
    Candidate, Caption, Compared, Cost, Family, Figure, Heatmap, IndicatorColumn, KeptBytes,
    KeptColumn, Line, Look, MemoryTimeline, Panel, PlanCosines, Quantiles, cosine_heatmap,
    cosine_overview, curves, kept_bytes, learning_indicator, memory_timeline, tradeoff,
};

use crate::drawing::Drawing;

/// Seven names of a hundred letters that differ in one letter in the middle.
fn names() -> Vec<String> {
    (0..7).map(|i| format!("{}{i}{}", "wide-m".repeat(8), "mmmm_".repeat(10) + "x")).collect()
}

/// All figures that name plans, under a title that names them too.
fn figures(names: &[String]) -> Vec<Figure> {
    let caption = |id: &str| Caption::new(id, names.join(", ")).subtitle(names[0].clone());
    let (x, seeds) = ([1.0, 2.0], [vec![0.5, 0.25]]);
    let lines = names
        .iter()
        .fold(Panel::new("epoch", "loss"), |panel, name| panel.line(Line::new(name, &x, &seeds)));
    let look = Look::plan(1);
    let course =
        |name| MemoryTimeline { name, look, kept: &[1.0, 2.0, 0.0], live: &[], backward: 2 };
    let courses: Vec<_> = names.iter().map(|n| course(n.as_str())).collect();
    let spread =
        Quantiles { p05: 0.1, p25: 0.2, median: 0.3, p75: 0.4, p95: 0.5, nonpositive: 0.0 };
    let spreads = [Some(spread); 2];
    let layers = ["layer1.0.downsample.0", "fc"];
    let indicators: Vec<_> =
        names.iter().map(|name| IndicatorColumn { name, layers: &spreads }).collect();
    let kept = [KeptBytes { layer: 0, part: 0, predicted: 2e6, counted: 2e6 }];
    let bytes: Vec<_> = names.iter().map(|name| KeptColumn { name, kept: &kept }).collect();
    let costs: Vec<[f64; 1]> = (0..names.len()).map(|i| [1.0 + 0.1 * i as f64]).collect();
    let family = Family::Pooling;
    let candidate = |(name, cost)| Candidate { name, look, family, cost, accuracy: &[0.9] };
    let points: Vec<_> =
        names.iter().map(String::as_str).zip(&costs).map(|(n, c)| candidate((n, &c[..]))).collect();
    let rows: Vec<_> =
        names.iter().map(|name| PlanCosines { name, cosine: &[0.5, 0.7], mean: 0.6 }).collect();
    vec![
        curves(&caption("curves"), &[lines.clone(), lines]).unwrap(),
        memory_timeline(&caption("timeline"), &[], &courses).unwrap(),
        learning_indicator(&caption("indicator"), &layers, &indicators).unwrap(),
        kept_bytes(&caption("bytes"), &layers, &["inputs"], &bytes).unwrap(),
        tradeoff(&caption("tradeoff"), Cost::Ratio("time"), &points, true).unwrap(),
        cosine_overview(&caption("overview"), &layers, &rows).unwrap(),
    ]
}

#[test]
fn long_names_stay_on_the_sheet_and_can_be_told_apart() {
    let names = names();
    for figure in figures(&names) {
        let drawing = Drawing::of(&figure); // which checks that all text is on the sheet
        let shown =
            |label: &&crate::drawing::Label| label.text.starts_with("wide") && label.size < 15.0;
        let mut labels: Vec<String> =
            drawing.labels.iter().filter(shown).map(|l| l.text.clone()).collect();
        labels.retain(|text| !text.starts_with(&names[0][..20]) || text.contains('…'));
        assert!(labels.iter().all(|text| !text.contains("mm_x")), "{labels:?}");
        labels.sort();
        labels.dedup();
        assert!(labels.len() >= names.len(), "{}: {labels:?}", figure.id);
        for name in &names {
            assert!(figure.how_to_read.contains(&format!(" is {name}")), "{}", figure.id);
            assert!(figure.csv.contains(name), "{}", figure.id);
            let hovered = |text: &String| text.starts_with(name.as_str());
            assert!(drawing.hovers.iter().any(|(_, text)| hovered(text)), "{}: {name}", figure.id);
        }
        assert!(figure.svg.contains(&format!("{}</title>", names.join(", "))), "{}", figure.id);
    }
}

#[test]
fn headings_side_by_side_do_not_run_into_each_other() {
    let names = names();
    for figure in figures(&names).iter().filter(|f| f.id == "bytes" || f.id == "indicator") {
        let drawing = Drawing::of(figure);
        let panels = drawing.panels();
        let heading = |panel: &crate::drawing::Rect| {
            let at = (panel.left, panel.top - 11.0);
            drawing.labels.iter().find(|label| label.at == at).unwrap().reach().1
        };
        for pair in panels.windows(2).filter(|pair| pair[0].top == pair[1].top) {
            assert!(heading(&pair[0]) <= pair[1].left, "{}", figure.id);
        }
    }
}

#[test]
fn a_long_name_in_a_heatmap_s_title_is_shortened() {
    let name = &names()[0];
    let caption = Caption::new("heatmap", format!("{name}: mean cosine 0.9"));
    let map = Heatmap {
        compared: Compared::SideBySide,
        layers: &["conv1"],
        steps: &[0.0],
        cosine: &[vec![0.5]],
        norm: &[vec![1.0]],
        signed: false,
    };
    Drawing::of(&cosine_heatmap(&caption, &map).unwrap());
}
