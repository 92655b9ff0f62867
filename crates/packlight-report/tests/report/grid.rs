//! Which runs count, and the names, order and texts of plans.

use std::path::Path;

use packlight_report::write;

use crate::page;
use crate::support::{self, complete, copy};

/// Describes the study of [`complete`], with its title and its plans.
fn describe(study: &Path, title: &str, plans: &str) {
    let text = format!("name = 'made-up'\ntitle = '{title}'\nseeds = [1, 2]\n[plans]\n{plans}");
    std::fs::write(study.join("study.toml"), text).unwrap();
}

const PLANS: &str = "pool2 = 'pool2'\nnone = 'none'\npool4 = 'pool4'";

/// The seeds and the width of the interval that the table gives for `plan`.
fn seeds_and_interval(study: &Path, plan: &str) -> (String, String) {
    let table = std::fs::read_to_string(study.join("tables/head-to-head.csv")).unwrap();
    let mut rows = table.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = rows.next().unwrap();
    let row = rows.find(|row| row[0] == plan).unwrap();
    let value = |name: &str| row[header.iter().position(|h| *h == name).unwrap()].to_owned();
    (value("seeds"), value("accuracy_half_interval_95"))
}

#[test]
fn a_copied_folder_is_no_other_seed() {
    for described in [true, false] {
        let study = tempfile::tempdir().unwrap();
        let folders = support::write(study.path(), &complete());
        if described {
            describe(study.path(), "t", PLANS);
        }
        write(study.path()).unwrap();
        let before = seeds_and_interval(study.path(), "pool2");
        assert_eq!(before.0, "2");

        copy(&folders[0], &study.path().join("runs/pool2-seed1-backup"));
        copy(&folders[0], &study.path().join("runs/pool2-seed3"));
        let summary = write(study.path()).unwrap();
        assert_eq!((summary.finished, summary.failed, summary.missing), (6, 0, 0));
        assert_eq!(
            seeds_and_interval(study.path(), "pool2"),
            before,
            "neither seeds nor interval change"
        );
        let names: Vec<_> = summary.left_out.iter().map(|left| left.folder.as_str()).collect();
        assert_eq!(names, ["pool2-seed1-backup", "pool2-seed3"]);
        let page = page(study.path());
        let reason = match described {
            true => "study.toml asks for no run of this name",
            false => "its manifest is that of pool2-seed1",
        };
        for name in names {
            assert!(page.contains(&format!("<code>{name}</code>: {reason}")), "{page}");
        }
    }
}

#[test]
fn a_run_in_the_place_of_another_does_not_count() {
    let study = tempfile::tempdir().unwrap();
    let folders = support::write(study.path(), &complete());
    describe(study.path(), "t", PLANS);
    std::fs::remove_dir_all(&folders[1]).unwrap();
    copy(&folders[0], &folders[1]); // pool2-seed2
    let summary = write(study.path()).unwrap();
    assert_eq!((summary.finished, summary.missing), (5, 1));
    assert_eq!(summary.left_out[0].reason, "its manifest is that of pool2-seed1");
    assert_eq!(seeds_and_interval(study.path(), "pool2").0, "1");
}

#[test]
fn runs_of_another_plan_s_text_do_not_count() {
    let study = tempfile::tempdir().unwrap();
    support::write(study.path(), &complete());
    describe(study.path(), "t", &PLANS.replace("'pool4'", "{ plan = 'pool8', from = 'none' }"));
    let summary = write(study.path()).unwrap();
    assert_eq!((summary.finished, summary.left_out.len(), summary.missing), (4, 2, 2));
    let page = page(study.path());
    let reason =
        "it was run with the plan `pool4`, but study.toml now says `pool8` from the weights";
    assert!(page.contains(reason), "{page}");
    assert!(!page.contains("<b>pool4</b>"));
}

#[test]
fn title_and_order_are_those_of_the_description_as_it_is_now() {
    let study = tempfile::tempdir().unwrap();
    support::write(study.path(), &complete());
    let order = |title: &str, plans: &str| {
        describe(study.path(), title, plans);
        write(study.path()).unwrap();
        let page = page(study.path());
        assert!(page.contains(&format!("<h1>{title}</h1>")), "{page}");
        assert!(!page.contains("Pooled &lt;activations&gt;"), "the manifests' title");
        let table = std::fs::read_to_string(study.path().join("tables/head-to-head.csv")).unwrap();
        let names = table.lines().skip(1).map(|line| line.split(',').next().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(order("first", PLANS), ["none", "pool2", "pool4"]);
    // A plan in the middle that nobody has run yet, and the two others the other way round.
    let changed = "pool4 = 'pool4'\nq2 = 'q2'\npool2 = 'pool2'\nnone = 'none'";
    assert_eq!(order("second", changed), ["none", "pool4", "pool2"]);
    assert!(page(study.path()).contains("<li>q2, seeds 1 and 2: not started</li>"));
}
