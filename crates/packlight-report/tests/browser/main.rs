//! Pages in a browser: nothing overflows, overlaps, is cut off or too small to be read, on narrow and
//! wide screens, in light and dark, and on paper; the console stays silent, and axe-core finds nothing
//! serious.
//!
//! Chromium or Chrome must be on the path, and `PACKLIGHT_AXE` may name axe-core's `axe.min.js`; what
//! is missing is skipped with a message.

#![allow(clippy::unwrap_used)] // clippy does not see that helpers are tests

mod chromium;
mod planned;
#[path = "../report/scores.rs"]
#[allow(dead_code)] // the other tests need all of it
mod scores;
#[path = "../report/support.rs"]
#[allow(dead_code)] // the other tests need all of it
mod support;

use std::path::{Path, PathBuf};

use chromium::Chromium;
use packlight_record::{Manifest, PlanOrigin};
use packlight_report::{
    Counted, CountedCell, CountedTable, CountedTables, ProjectedMethod, Projection, write_beside,
    write_collection, write_counted, write_planned,
};
use packlight_spec::Collection;
use support::{Made, complete};

const MEASURE: &str = include_str!("measure.js");

/// What axe-core finds serious or critical; `OPTIONS` are those of its run.
const AXE: &str = "axe.run({ resultTypes: ['violations'], ...OPTIONS }).then(({ violations }) =>
    violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')
        .map(({ id, nodes }) => `axe: ${id}: ${nodes[0].html.slice(0, 200)}`))";

/// A sheet of A4, landscape, between its margins.
const PAPER: u32 = 1047;

/// Forty-three plans of every family, some of them with long names.
const MANY: [&str; 40] = [
    "q1",
    "q2",
    "q2:nearest",
    "q3",
    "q4",
    "q8",
    "bf16",
    "fp8",
    "mesa",
    "alam",
    "alam:2",
    "actnn:1",
    "actnn:2",
    "actnn:3",
    "gact:4",
    "gact:4:50",
    "svd:0.8",
    "svd:0.9",
    "hosvd:0.8",
    "hosvd:0.8:st",
    "asi:0.8",
    "asi:2MiB",
    "qb:16",
    "velora:4",
    "compact:8",
    "pamm:4",
    "topk:0.1",
    "topk:0.1:mask",
    "bitmap",
    "bsr:8:0.5",
    "swat:0.2",
    "asa1",
    "asa4",
    "alt4",
    "gf2",
    "dither:2",
    "regelu2",
    "blpa:4",
    "ara=3:2:2:1,checkpoint=cell,default=actnn:3",
    "checkpoint=sqrt,layer3.*=pool4,default=pool2",
];

/// The runs of the small study and of `MANY`, but shorter.
fn many() -> Vec<Made> {
    let mut runs = complete();
    runs.iter_mut().for_each(|run| (run.epochs, run.planned) = (2, 2));
    for (i, spec) in MANY.into_iter().enumerate() {
        for seed in [1, 2] {
            let factor = [2, 4, 3][i % 3];
            let like = runs[0].clone();
            runs.push(Made { plan: spec, spec, index: 3 + i as u64, seed, factor, ..like });
        }
    }
    runs
}

/// Published tables with every kind of cell.
fn counted() -> CountedTables {
    let cell = |cell: &str, counted, note: &str| CountedCell {
        cell: cell.to_owned(),
        published: "15.01".to_owned(),
        unit: "MiB".to_owned(),
        counted,
        rule: "ratio, packed pooling".to_owned(),
        command: "packlight plan --model mobilenet_v2 --stem imagenet --batch 64 --plan \
                  ara=3:4:6:2,checkpoint=cell,default=mesa"
            .to_owned(),
        note: note.to_owned(),
    };
    let ranks = "Each axis at 59.4 %: mean ranks 38.0, 304.0, 4.2, 4.2.";
    let cells = vec![
        cell("ResNet-50, ActNN + ARA (3,4,6,2)", Counted::Number(15.01), ""),
        cell(
            "MobileNetV2, 2 layers, vanilla",
            Counted::Number(1651.8),
            "What differs is not known.",
        ),
        cell("MobileNetV2, 4 layers, HOSVD 0.9", Counted::Implied(ranks.to_owned()), ""),
        cell("BERT-Large, Mesa + ASA4", Counted::Nothing, "Network not built yet."),
    ];
    let table = |id: &str| CountedTable {
        id: id.to_owned(),
        title: format!("Auxiliary activations: table {id}"),
        source: "Woo and Jeon, ICLR 2023".to_owned(),
        about: "ImageNet, batch 512. ".repeat(8),
        cells: cells.clone(),
    };
    let rule =
        ("ratio, packed pooling".to_owned(), "Kept with `none` / kept with the plan. ".repeat(4));
    let names = ["vanilla", "Gradient Filter", "SVD", "HOSVD", "HOSVD by Gram matrices"];
    let grows = |from: f64| (1..5).map(|size| from * 4f64.powi(size)).collect::<Vec<f64>>();
    let method = |place: usize| ProjectedMethod {
        name: names[place].to_owned(),
        multiplications: grows(1e9 * 20f64.powi(place as i32)),
        bytes: grows(1e8 / 9f64.powi(place as i32)),
    };
    CountedTables {
        title: "The papers' tables by counting".to_owned(),
        tables: vec![table("two"), table("three")],
        rules: vec![rule],
        projection: Some(Projection {
            about: "A convolution of 64 channels. ".repeat(9),
            sides: vec![8.0, 16.0, 32.0, 64.0],
            methods: (0..names.len()).map(method).collect(),
        }),
    }
}

/// The runs of `many` with a third seed, on other data, and scores to lay beside others.
fn write_other(folder: &Path) {
    let mut runs = many();
    let third: Vec<Made> = runs.iter().filter(|run| run.seed == 2).cloned().collect();
    runs.extend(third.into_iter().map(|run| Made { seed: 3, ..run }));
    for run in support::write(folder, &runs) {
        let mut manifest = Manifest::read(&run).unwrap();
        manifest.data_hash = "0123".repeat(16);
        manifest.data = "handwritten digits, mirrored and padded by 2 pixels".into();
        manifest.write(&run).unwrap();
    }
    scores::write(folder, &scores::resnet18());
}

/// The faults of the page as it is shown now.
fn faults(browser: &mut Chromium, script: &str) -> Vec<String> {
    let faults = browser.evaluate(script);
    faults.as_array().unwrap().iter().map(|fault| fault.as_str().unwrap().to_owned()).collect()
}

/// The faults of a page on three screens and on paper.
fn check(browser: &mut Chromium, page: &Path, axe: Option<&str>) -> Vec<String> {
    let mut found = Vec::new();
    browser.open(page);
    browser.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })");
    for (width, scheme, media) in [
        (400, "light", "screen"),
        (960, "light", "screen"),
        (1280, "light", "screen"),
        (1600, "dark", "screen"),
        (PAPER, "dark", "print"),
    ] {
        browser.show(width, scheme, media);
        let here = faults(browser, MEASURE);
        found.extend(here.into_iter().map(|fault| format!("{media}, {width} px: {fault}")));
    }
    if let Some(axe) = axe {
        browser
            .evaluate("document.querySelectorAll('details').forEach((d) => { d.open = false; })");
        browser.evaluate(axe);
        // Only the contrast of colours depends on the scheme.
        let dark = "{ runOnly: ['color-contrast'] }";
        for (width, scheme, options) in [(400, "light", "{}"), (1600, "dark", dark)] {
            browser.show(width, scheme, "screen");
            let here = faults(browser, &AXE.replace("OPTIONS", options));
            found.extend(here.into_iter().map(|fault| format!("{scheme}, {width} px: {fault}")));
        }
    }
    found.append(&mut browser.complaints);
    found.into_iter().map(|fault| format!("{}: {fault}", page.display())).collect()
}

#[test]
fn pages_can_be_read_on_every_screen_and_on_paper() {
    let profile = tempfile::tempdir().unwrap();
    let Some(mut browser) = Chromium::start(profile.path()) else {
        println!("skipped: neither Chromium nor Chrome is on the path");
        return;
    };
    let axe = std::env::var_os("PACKLIGHT_AXE").map(|path| std::fs::read_to_string(path).unwrap());
    if axe.is_none() {
        println!("without axe-core: PACKLIGHT_AXE does not name its axe.min.js");
    }
    // Left in cargo's folder for tests' files, to be looked at.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("in-a-browser");
    let _ = std::fs::remove_dir_all(&folder);
    for (name, runs) in [("few", complete()), ("many", many())] {
        support::write(&folder.join(name), &runs);
    }
    scores::write(&folder.join("few"), &scores::resnet18());
    scores::write_errors(
        &folder.join("few/verify-allocated-0_3x"),
        &[
            ("allocated-0_3x", PlanOrigin::Allocated, 2 << 20, &[0.01, 0.04, 0.02]),
            ("all-hosvd-0-8", PlanOrigin::Uniform, 1 << 20, &[0.16, 0.1, 0.2]),
        ],
    );
    std::fs::write(folder.join("study.toml"), "title = 'All'\nstudies = ['few', 'many']").unwrap();
    let collection = Collection::read(&folder).unwrap().unwrap();
    write_collection(&collection, &folder).unwrap();
    write_counted(&folder.join("counted"), &counted()).unwrap();
    write_planned(&folder.join("planned"), &planned::steps()).unwrap();
    write_other(&folder.join("other-with-a-long-name"));
    write_beside(&folder.join("few"), &folder.join("other-with-a-long-name")).unwrap();
    write_beside(&folder.join("many"), &folder.join("other-with-a-long-name")).unwrap();

    let pages = [
        "few/index.html",
        "few/sensitivity.html",
        "few/beside-other-with-a-long-name.html",
        "many/beside-other-with-a-long-name.html",
        "many/index.html",
        "index.html",
        "counted/index.html",
        "planned/index.html",
    ];
    let mut pages: Vec<PathBuf> = pages.iter().map(|page| folder.join(page)).collect();
    pages.extend(notebooks());
    let found: Vec<String> =
        pages.iter().flat_map(|page| check(&mut browser, page, axe.as_deref())).collect();
    let most = found.len().min(40);
    assert!(found.is_empty(), "{} faults:\n{}", found.len(), found[..most].join("\n"));
}

#[test]
fn a_click_on_a_head_sorts_by_value_and_a_second_one_turns_the_order() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut browser) = Chromium::start(&folder.path().join("profile")) else {
        println!("skipped: neither Chromium nor Chrome is on the path");
        return;
    };
    scores::write(folder.path(), &scores::resnet18());
    browser.open(&packlight_report::write(folder.path()).unwrap().page);
    // Column 4 is the error, 5 its interval with a minus of its own in exponents, 2 the bytes in units of their own.
    let mut sorted = |column: usize| -> Vec<f64> {
        let script = format!(
            "(() => {{ const table = document.querySelector('#codecs table');
                table.tHead.rows[0].cells[{column}].querySelector('button').click();
                return [...table.tBodies[0].rows].map((row) =>
                    Number(row.cells[{column}].dataset.value)); }})()"
        );
        let values = browser.evaluate(&script);
        values.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
    };
    for column in [2, 4, 5] {
        let (first, second) = (sorted(column), sorted(column));
        assert_eq!(first.len(), 9);
        assert!(first.is_sorted_by(|a, b| a >= b), "{first:?}");
        assert!(second.is_sorted(), "{second:?}");
    }
}

/// The notebooks' pages, where they have been made.
fn notebooks() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../notebooks/html");
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut pages: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    pages.retain(|page| page.extension().is_some_and(|extension| extension == "html"));
    pages.sort();
    pages
}
