//! `packlight report` on published tables.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::{json, packlight, stderr};

/// The shipped tables, counted in a folder of their own: table, cell, published number, counted number,
/// what is implied, and the note.
fn counted() -> Vec<[String; 6]> {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reports/tables/tables.toml");
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(shipped, folder.path().join("tables.toml")).unwrap();
    let command =
        packlight(["report", folder.path().to_str().unwrap(), "--json"]).output().unwrap();
    let summary = json(&command);
    let text = std::fs::read_to_string(summary["table"].as_str().unwrap()).unwrap();
    let page = std::fs::read_to_string(summary["page"].as_str().unwrap()).unwrap();
    let rows: Vec<Vec<String>> = records(&text);
    let head = &rows[0];
    let at = |name: &str| head.iter().position(|column| column == name).unwrap();
    let columns = ["table", "cell", "published", "counted", "implied", "note"].map(at);
    let rows: Vec<_> =
        rows[1..].iter().map(|row| columns.map(|column| row[column].clone())).collect();
    assert_eq!(rows.len() as u64, summary["cells"].as_u64().unwrap());
    assert!(rows.iter().all(|row| page.contains(&row[1])), "the page lacks a cell");
    rows
}

/// The records of a CSV file without line breaks in its fields.
fn records(text: &str) -> Vec<Vec<String>> {
    let record = |line: &str| {
        let (mut fields, mut quoted) = (vec![String::new()], false);
        for letter in line.chars() {
            match letter {
                '"' => quoted = !quoted, // no field has quotes within
                ',' if !quoted => fields.push(String::new()),
                letter => fields.last_mut().unwrap().push(letter),
            }
        }
        fields
    };
    text.lines().map(record).collect()
}

#[test]
fn known_facts_are_counted_and_no_cell_is_left_out() {
    let rows = counted();
    let number = |table: &str, cell: &str| -> f64 {
        let row = rows.iter().find(|row| row[0] == table && row[1] == cell);
        row.unwrap_or_else(|| panic!("{table}, {cell}"))[3].parse().unwrap()
    };
    for (cell, mib) in [
        ("ResNet-18, 2 layers, vanilla", 12.25),
        ("ResNet-18, 4 layers, vanilla", 30.625),
        ("ResNet-18, all layers, vanilla", 532.875),
        ("ResNet-34, all layers, vanilla", 839.125),
        ("MobileNetV2, 4 layers, Gradient Filter", 9.375),
    ] {
        assert_eq!(number("decomposition", cell), mib, "{cell}");
    }
    let torch = number("quantised", "ResNet-50, vanilla, batch 256");
    assert!((torch - 20.48).abs() < 0.005, "{torch}");
    // What is saved at batch 512 of 44.397 GB, in GB.
    let whole = number("resnets", "ResNet-50, BP");
    for (groups, saved) in
        [("(2,2,2,2)", 4.727), ("(3,4,2,2)", 7.193), ("(3,4,4,2)", 7.604), ("(3,4,6,2)", 8.015)]
    {
        let ratio = number("resnets", &format!("ResNet-50, BP + ARA {groups}"));
        let found = whole - whole / ratio;
        assert!((found - saved).abs() < 1e-3, "{groups}: {found}");
    }
    let rank = rows.iter().find(|row| row[1] == "ResNet-18, 2 layers, SVD 0.8").unwrap();
    assert_eq!(rank[4], "Mean rank 41.1 of 64.");
    for row in &rows {
        assert!(!row[3].is_empty() || !row[4].is_empty(), "{row:?}");
    }
}

#[test]
fn what_is_counted_is_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let tables = "title = 'None'\ntables = []\n[networks]\n";
    std::fs::write(folder.path().join("tables.toml"), tables).unwrap();
    let folder = folder.path().to_str().unwrap();
    let output = packlight(["run", folder]).output().unwrap();
    assert!(!output.status.success());
    assert!(stderr(&output).contains(&format!("packlight report {folder}")), "{}", stderr(&output));
}

#[test]
fn a_cell_that_cannot_be_counted_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let tables = "title = 'One'
        [networks]
        small = '--model resnet18 --batch 2 --image 32'
        [[tables]]
        id = 'one'
        title = 'One'
        source = 'Somebody'
        about = 'Nothing.'
        cells = [{ cell = 'a', published = '1', rule = 'kept', network = 'small', plan = 'pull2' }]";
    std::fs::write(folder.path().join("tables.toml"), tables).unwrap();
    let output = packlight(["report", folder.path().to_str().unwrap()]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let csv = std::fs::read_to_string(folder.path().join("tables/counted.csv")).unwrap();
    assert!(csv.contains("unknown codec `pull2`"), "{csv}");
    std::fs::write(folder.path().join("tables.toml"), tables.replace("'kept'", "'held'")).unwrap();
    let output = packlight(["report", folder.path().to_str().unwrap()]).output().unwrap();
    assert!(stderr(&output).contains("unknown variant `held`"), "{}", stderr(&output));
}
