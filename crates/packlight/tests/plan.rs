//! `packlight plan`.

#![allow(clippy::unwrap_used)]

mod common;

use common::{json, packlight, stderr};
use serde_json::Value;

const RESNET50: [&str; 5] = ["plan", "--model", "resnet50", "--stem", "imagenet"];

fn plan(arguments: &[&str]) -> Value {
    json(&packlight(RESNET50).args(arguments).arg("--json").output().unwrap())
}

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_else(|| panic!("{key} in {value}"))
}

#[test]
fn layers_add_up_to_what_is_published() {
    let whole = plan(&["--batch", "512"]);
    let ara = plan(&["--batch", "512", "--plan", "ara=3:4:4:2"]);
    let saved = number(&whole, "kept_bytes") - number(&ara, "kept_bytes");
    assert!((saved as f64 / 1e9 - 7.604).abs() < 5e-4, "{saved}");
    assert_eq!(number(&whole, "parameters"), 25_557_032);
    assert_eq!(number(&whole, "gradient_bytes"), 4 * 25_557_032);
    let adamw = plan(&["--batch", "512", "--optimizer", "adamw"]);
    assert_eq!(number(&adamw, "optimizer_bytes"), 8 * 25_557_032);
    for key in ["layers", "kinds"] {
        let rows = whole[key].as_array().unwrap();
        let sum = |what: &str| rows.iter().map(|row| number(row, what)).sum::<u64>();
        assert_eq!(
            sum("kept_payload") + sum("kept_metadata"),
            number(&whole, "kept_bytes"),
            "{key}"
        );
        assert_eq!(sum("parameters"), 25_557_032, "{key}");
    }
    let parts = ["resident", "kept", "parameter_gradients", "flowing", "workspace"];
    let peak: u64 = parts.iter().map(|part| number(&whole["peak"], part)).sum();
    assert_eq!(peak, number(&whole, "peak_bytes"));
    assert!(peak > number(&whole, "kept_bytes"));
}

#[test]
fn the_largest_batch_fits_and_the_next_does_not() {
    let within = |arguments: &[&str]| {
        let planned = plan(&[&["--budget", "24GB", "--plan", "q2"], arguments].concat());
        (planned["budget"]["fits"].as_bool().unwrap(), number(&planned, "batch"))
    };
    let (fits, batch) = within(&["--fit", "batch"]);
    assert!(fits && batch > 100, "{batch}");
    assert!(within(&["--batch", &batch.to_string()]).0);
    assert!(!within(&["--batch", &(batch + 1).to_string()]).0);
}

#[test]
fn the_largest_depth_and_width_fit_and_the_next_do_not() {
    let vit = |arguments: &[&str]| {
        let common = ["plan", "--model", "vit", "--patch", "16", "--batch", "8", "--budget", "2GB"];
        json(&packlight(common).args(arguments).arg("--json").output().unwrap())
    };
    let fits = |planned: &Value| planned["budget"]["fits"].as_bool().unwrap();
    for (option, step) in [("depth", 1), ("width", 3)] {
        let found = vit(&["--fit", option]);
        let model = found["model"].as_str().unwrap();
        let size = model.split(&format!("{option} ")).nth(1).unwrap();
        let size: u64 = size.split([',', ';']).next().unwrap().parse().unwrap();
        assert!(fits(&found) && size > 12 && size.is_multiple_of(step), "{model}");
        let flag = format!("--{option}");
        assert!(fits(&vit(&[&flag, &size.to_string()])), "{model}");
        assert!(!fits(&vit(&[&flag, &(size + step).to_string()])), "{model}");
    }
    let deep = plan(&["--batch", "8", "--budget", "4GB", "--fit", "depth"]);
    let model = deep["model"].as_str().unwrap();
    assert!(model.starts_with("bottlenecks, ") && model.contains("blocks [3, 4, "), "{model}");
}

#[test]
fn multiplications_are_those_of_the_formulas() {
    let planned = plan(&["--batch", "2"]);
    // ResNet-50 is known for 4.09 G multiplications and additions for an image of 224 x 224.
    let forward = number(&planned, "forward_multiplications");
    assert_eq!(forward, 2 * 4_089_184_256);
    // The images need no gradient.
    let first = 2 * 112 * 112 * 64 * 3 * 49;
    assert_eq!(number(&planned, "backward_multiplications"), 2 * forward - first);
    let frozen = plan(&["--batch", "2", "--plan", "last=2"]);
    assert_eq!(number(&frozen, "forward_multiplications"), forward);
    assert!(number(&frozen, "backward_multiplications") < forward / 4);
    let again = plan(&["--batch", "2", "--plan", "checkpoint=block"]);
    assert_eq!(number(&again, "forward_multiplications"), forward);
    assert!(number(&again, "backward_multiplications") > 5 * forward / 2);
}

#[test]
fn scores_that_are_recomputed_are_multiplied_once_more() {
    let vit = ["plan", "--model", "vit", "--depth", "2", "--image", "32", "--batch", "3", "--json"];
    let plans = json(&packlight(vit).args(["--compare", "scores=recompute"]).output().unwrap());
    let [kept, again] = [0, 1].map(|at| {
        ["forward", "backward"].map(|pass| number(&plans[at], &format!("{pass}_multiplications")))
    });
    // Two blocks, 3 samples of 64 patches and the class token, 192 features.
    let scores = 2 * 3 * 65 * 65 * 192;
    assert_eq!(again, [kept[0], kept[1] + scores]);
}

#[test]
fn layers_of_all_plans_are_written_as_csv() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("layers.csv");
    let arguments = ["--batch", "2", "--compare", "q4,fc=none", "--csv", file.to_str().unwrap()];
    let plans = plan(&arguments);
    let text = std::fs::read_to_string(file).unwrap();
    let layers: usize = (0..2).map(|at| plans[at]["layers"].as_array().unwrap().len()).sum();
    assert_eq!(text.lines().count(), 1 + layers);
    let head = text.lines().next().unwrap().split(',').count();
    let line = text.lines().find(|line| line.starts_with("none,conv1,conv,none,")).unwrap();
    assert_eq!(line.split(',').count(), head);
    assert!(
        text.contains("\"q4,fc=none\",layer1.0.conv1,conv,q4,false,4096,4096,16384,"),
        "{text}"
    );
}

#[test]
fn a_machine_bounds_the_time_of_a_step_and_gives_the_budget() {
    let t4 = plan(&["--batch", "8", "--on", "t4"]);
    assert_eq!(number(&t4["budget"], "bytes"), 16_000_000_000);
    assert_eq!(number(&t4["peak"], "workspace"), 0);
    let seconds = |planned: &Value| planned["seconds"].as_f64().unwrap();
    let multiplications =
        number(&t4, "forward_multiplications") + number(&t4, "backward_multiplications");
    let computing = 2.0 * multiplications as f64 / 8.1e12;
    let moving = number(&t4, "moved_bytes") as f64 / 300e9;
    let least = seconds(&t4);
    assert!(least >= computing.max(moving) && least < computing + moving, "{least}");
    let layers = t4["layers"].as_array().unwrap().iter().map(seconds).sum::<f64>();
    let between = number(&t4, "moved_between") as f64 / 300e9;
    assert!((layers + between - least).abs() < 1e-9 && between > 0.0, "{layers} {between}");
    let h100 = plan(&["--batch", "8", "--on", "h100"]);
    assert!(seconds(&h100) < least && h100["seconds_in_bf16"].as_f64().unwrap() < seconds(&h100));
    let here = plan(&["--batch", "8", "--on", "this"]);
    assert!(seconds(&here) > 0.0 && seconds(&here).is_finite());
    assert!(here["layers"].as_array().unwrap().iter().any(|row| number(row, "workspace") > 0));
    let largest = plan(&["--on", "t4", "--fit", "batch", "--plan", "q2"]);
    assert!(largest["budget"]["fits"].as_bool().unwrap() && number(&largest, "batch") > 100);
}

#[test]
fn a_page_shows_the_layers_and_the_course_of_a_step() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("new").join("page");
    let compare = ["--batch", "2", "--on", "l4", "--compare", "checkpoint=block"];
    let plans = plan(&[&compare[..], &["--report", report.to_str().unwrap()]].concat());
    let read = |file: &str| std::fs::read_to_string(report.join(file)).unwrap();
    let page = read("index.html");
    for words in ["layer4.2.conv3", "checkpoint=block", "How to read this", "l4: 24 GB", "fits"] {
        assert!(page.contains(words), "`{words}` is missing");
    }
    assert!(read("tables/layers.csv").contains("checkpoint=block,layer4.2.conv3"));
    for (at, plan) in plans.as_array().unwrap().iter().enumerate() {
        let course = read(&format!("figures/course-{}.csv", at + 1));
        let held = course.lines().skip(1).map(|line| {
            let bytes = line.split(',').skip(3);
            bytes.map(|bytes| bytes.parse::<u64>().unwrap()).sum::<u64>()
        });
        assert_eq!(held.max().unwrap(), number(plan, "peak_bytes"));
        assert!(read(&format!("figures/course-{}.svg", at + 1)).contains("backward pass"));
    }

    plan(&["--batch", "2", "--report", report.to_str().unwrap()]);
    let there = |number: u32| report.join(format!("figures/course-{number}.svg")).exists();
    assert!(there(1) && !there(2), "figures of a plan that is gone are gone");
}

#[test]
fn a_time_without_what_codecs_compute_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().to_str().unwrap();
    let print = |arguments: &[&str]| {
        let all = [&["--batch", "2", "--on", "l4"], arguments].concat();
        let output = packlight(RESNET50).args(all).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let all = ["none", "q2", "checkpoint=block", "layer1.0.conv1=pool2"];
    let table = print(&[&["--report", report, "--compare"], &all[1..]].concat());
    let page = std::fs::read_to_string(folder.path().join("index.html")).unwrap();
    let not_timed = "packing, restoring and a codec's own gradient";
    assert!(table.contains(not_timed) && page.contains("a codec's own gradient are not timed"));
    for plan in all {
        let computes = !["none", "checkpoint=block"].contains(&plan);
        let line = table.lines().find(|line| line.split_whitespace().next() == Some(plan)).unwrap();
        assert_eq!(line.contains("ms + codecs"), computes, "{line}");
        let row = &page[page.find(&format!("<b>{plan}</b>")).unwrap()..];
        let row = &row[..row.find("</tr>").unwrap()];
        assert_eq!(
            row.matches("<span class=\"muted\">+ codecs</span></td>").count(),
            if computes { 2 } else { 0 },
            "{row}"
        );
        assert_eq!(print(&["--plan", plan]).contains(not_timed), computes);
    }
}

#[test]
fn sizes_that_a_model_does_not_have_are_refused() {
    for (model, option, words) in [
        ("gpt", ["--image", "32"], "--image 32: gpt takes text"),
        ("transformer", ["--channels", "1"], "--channels 1: transformer takes pairs"),
        ("vit", ["--length", "16"], "--length 16: vit takes images"),
        ("resnet18", ["--vocabulary", "50"], "--vocabulary 50: resnet18 takes images"),
        ("gpt", ["--vocabulary", "50"], "--vocabulary 50: gpt takes text"),
    ] {
        let common = ["plan", "--model", model, "--batch", "1"];
        let output = packlight(common).args(option).output().unwrap();
        assert!(!output.status.success() && stderr(&output).contains(words), "{}", stderr(&output));
    }
}

#[test]
fn a_table_says_what_it_counts() {
    let print = |arguments: &[&str]| {
        let output = packlight(RESNET50).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let text = print(&["--batch", "8", "--plan", "hosvd:0.9", "--budget", "500MB"]);
    for words in [
        "images of 3 x 224 x 224",
        "layer4.2.conv3",
        "parameters       102.2 MB",
        "at least",
        "depends on the data",
        "Not counted",
        "budget           500.0 MB: does not fit",
    ] {
        assert!(text.contains(words), "`{words}` is missing in: {text}");
    }
    let table = print(&["--batch", "8", "--compare", "pool2", "q4", "hosvd:0.9"]);
    let lines: Vec<&str> = table.lines().collect();
    let starts = |name: &str| lines.iter().any(|line| line.starts_with(name));
    assert!(["none", "pool2", "q4", "hosvd:0.9"].into_iter().all(starts), "{table}");
}

#[test]
fn what_cannot_be_planned_says_why() {
    for (arguments, words) in [
        (&["--batch", "8", "--plan", "pull2"][..], &["unknown codec `pull2`"][..]),
        (
            &["--batch", "8", "--plan", "conv=regelu2"],
            &["conv1", "keeps the derivative of GELU alone"],
        ),
        (&["--budget", "1MB", "--fit", "batch"], &["--budget: a batch of", "1.0 MB are given"]),
        (&["--batch", "8", "--budget", "0.5x"], &["--budget: a number of bytes expected"]),
        (&["--batch", "0"], &["0 is not in 1..=1048576"]),
        (&[], &["--batch"]),
        (&["--fit", "batch"], &["--fit: --budget or --on expected"]),
        (&["--batch", "8", "--on", "rtx"], &["expected `this` or one of a100-40, a100-80, h100"]),
        (&["--fit", "depth", "--budget", "24GB"], &["--batch: the number of samples"]),
        (&["--fit", "batch", "--batch", "8", "--budget", "24GB"], &["leave one of them out"]),
        (&["--fit", "width", "--batch", "8", "--budget", "1MB"], &["--budget: a width of 1"]),
    ] {
        let output = packlight(RESNET50).args(arguments).output().unwrap();
        let said = stderr(&output);
        assert!(!output.status.success(), "{arguments:?}");
        for word in words {
            assert!(said.contains(word), "`{word}` is missing in: {said}");
        }
    }
}
