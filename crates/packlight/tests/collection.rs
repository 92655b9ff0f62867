//! Several studies that are run and reported together.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::{json, packlight, run, stderr};

/// Two plans with one seed of `model` on data of a few batches.
fn tiny(name: &str, model: &str, plans: &str) -> String {
    format!(
        r#"
name = "{name}"
title = "Tiny {name} & more"
seeds = [3]
epochs = 2
batch = 16
threads = 2

[model]
name = "{model}"

[data]
name = "digits"
size = 8
train_limit = 48
test_limit = 20

[plans]
{plans}

[optimizer]
name = "adamw"
learning_rate = 0.002

[probe]
every = 2
whole = true
"#
    )
}

/// A folder with `text` as its description, and two studies in `first` and `second`.
fn collection(text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let plans = "none = \"none\"\nq2 = \"q2\"";
    let vit = "vit\"\nwidth = 8\ndepth = 1\nheads = 2\npatch = 4 #";
    let studies = [
        ("first", tiny("one", "mlp", plans)),
        ("second", tiny("two", vit, &format!("{plans}\nasa4 = \"asa4\""))),
    ];
    for (folder, study) in studies {
        std::fs::create_dir(dir.path().join(folder)).unwrap();
        std::fs::write(dir.path().join(folder).join("study.toml"), study).unwrap();
    }
    std::fs::write(dir.path().join("study.toml"), text).unwrap();
    dir
}

const TEXT: &str = "title = \"Both <together>\"\nstudies = [\"first\", \"second\"]";

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn all_studies_are_run_in_order_after_one_forecast_and_reported_on_one_page() {
    let dir = collection(TEXT);
    let output = packlight(["run", "--json"]).arg(dir.path()).output().unwrap();
    let said = stderr(&output);
    assert!(said.contains("taking a few steps of 5 plans"), "{said}");
    assert_eq!(said.matches(" runs, about ").count(), 1, "{said}");
    assert!(said.contains("5 runs, about "), "{said}");
    let places = ["first/none-seed3 (1/5)", "first/q2-seed3 (2/5)", "second/asa4-seed3 (5/5)"];
    let found = places.map(|place| said.find(place).unwrap());
    assert!(found.is_sorted() && said.find(" runs, about ").unwrap() < found[0], "{said}");
    let summary = json(&output);
    assert_eq!(summary["title"], "Both <together>");
    let studies = summary["studies"].as_array().unwrap();
    assert_eq!((&studies[0]["study"], &studies[1]["study"]), (&"one".into(), &"two".into()));
    assert_eq!(studies[0]["runs"].as_array().unwrap().len(), 2);
    let last = &studies[1]["runs"][2];
    assert_eq!((&last["run"], &last["outcome"]), (&"asa4-seed3".into(), &"finished".into()));

    let report = json(&packlight(["report", "--json"]).arg(dir.path()).output().unwrap());
    assert_eq!(report["missing"].as_array().unwrap().len(), 0);
    assert_eq!(report["studies"][1]["finished"], 3);
    let page = text(&dir.path().join("index.html"));
    assert!(page.contains("<h1>Both &lt;together&gt;</h1>"));
    assert!(!page.contains("This report is incomplete"));
    for folder in ["first", "second"] {
        let own = text(&dir.path().join(folder).join("index.html"));
        assert!(page.contains(&format!("href=\"{folder}/index.html\"")));
        let table = |page: &str| {
            let inside = page.find("runs<br>finished").unwrap();
            let from = page[..inside].rfind("<table>").unwrap();
            page[from..inside + page[inside..].find("</table>").unwrap()].to_owned()
        };
        let section = &page[page.find(&format!("<section id=\"{folder}\">")).unwrap()..];
        assert_eq!(table(section), table(&own), "the same head-to-head table");
        for figure in ["accuracy-and-memory", "accuracy-and-kept-bytes", "accuracy-and-time"] {
            let link = format!("{folder}/figures/{figure}.svg");
            assert!(page.contains(&format!("href=\"{link}\"")), "{link}");
            assert!(dir.path().join(&link).exists(), "{link}");
        }
    }
    let across = &page[page.find("<section id=\"across\">").unwrap()..];
    let across = &across[..across.find("</table>").unwrap()];
    assert_eq!(across.matches("<b>q2</b>").count(), 1, "one row for both studies");
    let ids: Vec<&str> =
        page.split(" id=\"").skip(1).map(|s| s.split('"').next().unwrap()).collect();
    let mut distinct = ids.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(ids.len(), distinct.len(), "every id is given once");
}

#[test]
fn a_study_that_has_not_been_run_is_named_and_the_others_are_reported() {
    let dir = collection(TEXT);
    let output = packlight(["report"]).arg(dir.path()).output().unwrap();
    assert!(stderr(&output).contains("no run has been started yet"), "{}", stderr(&output));
    assert!(run(&dir.path().join("first")).status.success(), "one study by itself");
    let report = json(&packlight(["report", "--json"]).arg(dir.path()).output().unwrap());
    assert_eq!(report["missing"][0], "second");
    let page = text(&dir.path().join("index.html"));
    assert!(page.contains("2 of 2 runs have finished, and second has not been started."));
    let output = run(dir.path());
    assert!(stderr(&output).contains("first/none-seed3: skipped: it is finished"));
    assert!(stderr(&output).contains("3 runs, about "), "what is left: {}", stderr(&output));
}

#[test]
fn a_collection_that_makes_no_sense_is_refused_with_a_reason() {
    let study = |text: &str| text.replacen("\"first\", ", "", 1);
    for (text, words) in [
        (
            TEXT.replace("studies", "studeis"),
            &["unknown field `studeis`", "did you mean `studies`?"][..],
        ),
        (TEXT.replace("title", "titel"), &["unknown field `titel`", "did you mean `title`?"]),
        (format!("{TEXT}\nseeds = [1]"), &["unknown field `seeds`"]),
        ("studies = [\"first\"]".into(), &["missing field `title`"]),
        (String::new(), &["missing field `title`", "collection of studies"]),
        ("title = \"x\"\nstudies = []".into(), &["studies: is empty", "at least one folder"]),
        (TEXT.replace("second", "first"), &["studies: `first` stands there twice"]),
        (TEXT.replace("second", "secnod"), &["secnod/study.toml", "did you mean `second`?"]),
        (TEXT.replace("second", "../x"), &["studies: `../x` given", "a folder beside this file"]),
        (study(TEXT).replace("second", "nested"), &["`nested` is a collection itself"]),
    ] {
        let dir = collection(&text);
        std::fs::create_dir(dir.path().join("nested")).unwrap();
        std::fs::write(dir.path().join("nested/study.toml"), TEXT).unwrap();
        let output = run(dir.path());
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        for word in words {
            assert!(said.contains(word), "`{word}` is missing in: {said}");
        }
    }
}

#[test]
fn nothing_is_trained_where_one_of_the_studies_cannot_be() {
    for (from, to, words) in [
        (
            "asa4 = \"asa4\"",
            "asa4 = \"blocks.9.*=q2\"",
            ["study second of the collection", "plan asa4"],
        ),
        ("\"digits\"", "\"mnist\"", ["study second of the collection", "mnist"]),
        ("epochs = 2", "epochs = 0", ["second/study.toml", "epochs: 0 given"]),
    ] {
        let dir = collection(TEXT);
        let second = dir.path().join("second/study.toml");
        std::fs::write(&second, text(&second).replace(from, to)).unwrap();
        let mut command = packlight(["run"]);
        let output = command.env_remove("PACKLIGHT_DATA").arg(dir.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        for word in words {
            assert!(stderr(&output).contains(word), "{}", stderr(&output));
        }
        assert!(!dir.path().join("first/runs").exists());
    }
}
