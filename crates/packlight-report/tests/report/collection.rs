//! The page that compares the studies of a collection.

use std::path::Path;

use packlight_report::{CollectionSummary, write_collection};
use packlight_spec::Collection;

use crate::{scores, support};

/// The page of a collection of the made-up studies of these names and seeds.
fn written(folder: &Path, studies: &[(&str, &[u64])], named: &str) -> (CollectionSummary, String) {
    for (name, seeds) in studies {
        support::write(&folder.join(name), &support::with_seeds(seeds));
    }
    let text = format!("title = 'All'\nstudies = {named}");
    std::fs::write(folder.join("study.toml"), text).unwrap();
    let collection = Collection::read(folder).unwrap().unwrap();
    let summary = write_collection(&collection, folder).unwrap();
    let page = std::fs::read_to_string(&summary.page).unwrap();
    (summary, page)
}

/// The texts of the cells of a table's row that begins with `first`, in the section called `id`.
fn row(page: &str, id: &str, first: &str) -> Vec<String> {
    let section = &page[page.find(&format!("<section id=\"{id}\">")).unwrap()..];
    let section = &section[..section.find("</section>").unwrap()];
    let rows = section.split("<tr>").map(|row| {
        let cells = row.split("<td").skip(1);
        cells.map(|cell| text(cell.split_once('>').unwrap().1)).collect::<Vec<_>>()
    });
    let mut rows = rows.filter(|row| row.first().is_some_and(|cell| cell == first));
    rows.next().unwrap_or_else(|| panic!("{first} has no row in {id}"))
}

/// What a reader sees of a cell: its markup up to its end, without tags.
fn text(cell: &str) -> String {
    let cell = &cell[..cell.find("</td>").unwrap()];
    let pieces = cell.split('<').map(|piece| piece.split_once('>').map_or(piece, |(_, text)| text));
    pieces.collect::<String>().trim().to_owned()
}

/// The differences of `plan` from `none` in the last epoch's test accuracy, in points, by seed.
fn differences(study: &Path, plan: &str, seeds: &[u64]) -> Vec<f64> {
    let epochs = std::fs::read_to_string(study.join("tables/epochs.csv")).unwrap();
    let last = |plan: &str, seed: u64| -> f64 {
        let of = format!("{plan},{seed},{},", support::EPOCHS - 1);
        let row = epochs.lines().find(|line| line.starts_with(&of)).unwrap();
        row.rsplit(',').next().unwrap().parse().unwrap()
    };
    seeds.iter().map(|&seed| 100.0 * (last(plan, seed) - last("none", seed))).collect()
}

#[test]
fn a_cell_has_the_paired_difference_with_its_interval() {
    let folder = tempfile::tempdir().unwrap();
    let seeds = [1, 2, 3];
    let studies = [("first", &seeds[..]), ("second", &seeds[..1])];
    let (_, page) = written(folder.path(), &studies, "['first', 'second']");
    let cells = row(&page, "across", "pool4");
    let found = differences(&folder.path().join("first"), "pool4", &seeds);
    let mean = found.iter().sum::<f64>() / 3.0;
    let sd = (found.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / 2.0).sqrt();
    // Student's t with 2 degrees of freedom exceeds 4.30265 in 2.5 % of cases.
    let expected = format!("−{:.1} ± {:.1}", -mean, 4.302_65 * sd / 3f64.sqrt());
    assert!(mean < 0.0 && cells[1].starts_with(&expected), "{expected}: {cells:?}");
    // One seed has a difference and no interval.
    assert!(cells[4].starts_with('−') && !cells[4].contains('±'), "{cells:?}");
    // `pool4` holds fewer bytes than the exact plan in both.
    for held in [&cells[2], &cells[5]] {
        let held: f64 = held.trim_end_matches('×').parse().unwrap();
        assert!(held > 0.0 && held < 1.0, "{cells:?}");
    }
    assert_eq!(row(&page, "across", "none")[1], "–", "the exact plan is compared with nothing");
}

#[test]
fn the_summary_answers_the_same_questions_for_each_study() {
    let folder = tempfile::tempdir().unwrap();
    let studies = [("first", &[1, 2, 3][..]), ("second", &[1, 2][..])];
    let (_, page) = written(folder.path(), &studies, "['first', 'second']");
    let (first, second) = (row(&page, "summary", "first"), row(&page, "summary", "second"));
    assert_eq!(first.len(), second.len());
    // A study's own page gives the same answers.
    for (name, cells) in [("first", &first), ("second", &second)] {
        let own = std::fs::read_to_string(folder.path().join(name).join("index.html")).unwrap();
        let best = row(&own, "summary", "Best with 1/2 of the bytes of none");
        assert_eq!(best[1], cells[2], "{name}");
    }
    // With three seeds, both of the plans that hold fewer bytes are shown to lose accuracy.
    assert_eq!(first[1], "every plan that holds fewer bytes loses accuracy");
    // Two seeds bear no verdict.
    assert!(second[1].starts_with("cannot say"), "{second:?}");
    assert!(second[1].contains("cannot say with n = 2"), "{second:?}");
}

#[test]
fn studies_without_runs_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let studies = [("first", &[1][..])];
    std::fs::create_dir(folder.path().join("second")).unwrap();
    let (summary, page) = written(folder.path(), &studies, "['first', 'second']");
    assert_eq!(summary.missing, ["second"]);
    assert!(page.contains("and second has not been started"), "{page}");
}

#[test]
fn a_study_with_scores_and_no_runs_is_not_said_to_be_missing() {
    let folder = tempfile::tempdir().unwrap();
    scores::write(&folder.path().join("second"), &scores::resnet18());
    let (summary, page) =
        written(folder.path(), &[("first", &[1][..])], "['first', 'second', 'third']");
    assert_eq!(
        (&summary.missing[..], &summary.only_layers[..]),
        (&["third".into()][..], &["second".into()][..])
    );
    assert!(page.contains("second has no runs yet, but its single layers are measured"), "{page}");
    assert!(page.contains("third has not been started") && !page.contains("second has not been"));
    assert!(page.contains("href=\"second/sensitivity.html\""), "{page}");
    assert!(folder.path().join("second/sensitivity.html").is_file());
    // A collection of nothing else has a page, too.
    std::fs::remove_dir_all(folder.path().join("first")).unwrap();
    let (summary, page) = written(folder.path(), &[], "['second']");
    assert_eq!((summary.studies.len(), summary.missing.len()), (1, 0));
    assert!(!page.contains("All together"), "{page}");
}

#[test]
fn what_was_found_of_single_layers_stands_in_the_study_s_section() {
    let folder = tempfile::tempdir().unwrap();
    scores::write(&folder.path().join("second"), &scores::resnet18());
    let studies = [("first", &[1][..]), ("second", &[1][..])];
    let (summary, page) = written(folder.path(), &studies, "['first', 'second']");
    assert_eq!(page.matches("sensitivity.html").count(), 1);
    let section = &page[page.find("<section id=\"second\">").unwrap()..];
    assert!(section.contains("<a href=\"second/sensitivity.html\">"));
    let found = &summary.studies[1].sensitivity.as_ref().unwrap().findings;
    assert!(!found.is_empty());
    for finding in found {
        assert!(section.contains(&format!("<li>{finding}</li>")), "{finding}");
    }
}
