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
    let tables = std::fs::read_to_string(shipped).unwrap().replace("steps = 60", "steps = 1");
    std::fs::write(folder.path().join("tables.toml"), tables).unwrap();
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
    assert_eq!(rows.len() as u64, summary["rows"].as_u64().unwrap());
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
        assert_eq!(row[5].contains("A small run: "), !row[4].is_empty(), "{row:?}");
    }
}

#[test]
fn one_convolution_is_projected_from_its_shape_and_the_ranks() {
    let folder = tempfile::tempdir().unwrap();
    let tables = "title = 'One'
        tables = []
        [networks]
        small = '--model resnet18 --stem imagenet --batch 64'
        [projection]
        network = 'small'
        layer = 'layer1.0.conv2'
        images = [32, 64]
        svd = 0.642
        hosvd = 0.367
        about = 'A convolution.'";
    std::fs::write(folder.path().join("tables.toml"), tables).unwrap();
    let output = packlight(["report", folder.path().to_str().unwrap()]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let csv = std::fs::read_to_string(folder.path().join("figures/projection.csv")).unwrap();
    let costs = |method: &str, side: &str| -> [f64; 2] {
        let rows = records(&csv);
        let row = rows.iter().find(|row| row[0] == method && row[1] == side).unwrap();
        [2, 3].map(|column| row[column].parse().unwrap_or(f64::NAN))
    };
    // 64 images of 64 channels of 8 x 8 pixels, as many outputs, 3 x 3 taps.
    let elements = 64.0 * 64.0 * 64.0;
    let pass = 9.0 * 64.0 * elements;
    assert_eq!(costs("vanilla", "8"), [3.0 * pass, 4.0 * elements]);
    assert_eq!(costs("vanilla", "16"), [12.0 * pass, 16.0 * elements]);
    // Patches of 2 x 2: a quarter, and a 36th of the multiplications of each gradient.
    assert_eq!(costs("Gradient Filter", "8"), [pass * (1.0 + 2.0 / 36.0), elements]);
    // Rank 41 of 64; the decomposition of 64 x 4096.
    let decomposed = 4096f64 * 4096.0 * 64.0;
    let svd = [3.0 * pass + decomposed + 41.0 * elements, 4.0 * 41.0 * (64.0 + 4096.0)];
    assert_eq!(costs("SVD", "8"), svd);
    // Ranks 23, 23, 3 and 3; two unfoldings of 64 x 4096 and two of 8 x 32768.
    let decomposed = 2.0 * decomposed + 2.0 * 32768f64.powi(2) * 8.0;
    let core = 23.0 * 23.0 * 3.0 * 3.0;
    let gradient = 23.0 * elements
        + 8.0 * core
        + 64.0 * 23.0 * 23.0 * 3.0
        + 64.0 * 23.0 * 23.0 * 9.0 * 64.0
        + 64.0 * 64.0 * 23.0 * 9.0;
    let kept = 4.0 * (core + 2.0 * 64.0 * 23.0 + 2.0 * 8.0 * 3.0);
    assert_eq!(costs("HOSVD by SVDs", "8"), [2.0 * pass + gradient + decomposed, kept]);
    assert!(costs("HOSVD by Gram matrices", "8")[0] < costs("vanilla", "8")[0]);
    for (from, to, words) in [
        ("layer1.0.conv2", "layer2.0.conv1", "layer2.0.conv1"),
        ("'small'\n        layer", "'smaller'\n        layer", "no network `smaller`"),
        ("0.642", "1.5", "svd: 1.5 given"),
    ] {
        std::fs::write(folder.path().join("tables.toml"), tables.replace(from, to)).unwrap();
        let output = packlight(["report", folder.path().to_str().unwrap()]).output().unwrap();
        assert!(!output.status.success() && stderr(&output).contains(words), "{}", stderr(&output));
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

#[test]
fn a_small_run_that_keeps_all_energy_has_full_ranks() {
    let folder = tempfile::tempdir().unwrap();
    let tables = "title = 'One'
        [networks]
        one = '--model resnet18 --batch 4 --image 16 --classes 10'
        [small_runs]
        size = 16
        batch = 4
        steps = 2
        learning_rate = 0.01
        networks = { one = { name = 'resnet18', width = 4 } }
        [[tables]]
        id = 'one'
        title = 'One'
        source = 'Somebody'
        about = 'Nothing.'
        cells = [
            { cell = 'a', published = '1', rule = 'svd-rank', network = 'one', plan = 'last=1,svd:1' },
            { cell = 'b', published = '1', rule = 'hosvd-rank', network = 'one', plan = 'last=1,hosvd:1' },
        ]";
    std::fs::write(folder.path().join("tables.toml"), tables).unwrap();
    let output = packlight(["report", folder.path().to_str().unwrap()]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let csv = std::fs::read_to_string(folder.path().join("tables/counted.csv")).unwrap();
    assert!(csv.contains("A small run: Mean rank 4.0 of 4."), "{csv}");
    // Of 32 channels only 16 = 4 x 2 x 2 are independent: 4 x 16 x 2 x 2 + 4 x 4 + 32 x 16 + 2 x 2 + 2 x 2 numbers.
    let full = "A small run: Each axis at 66.2 %: mean ranks 2.6, 21.2, 1.3, 1.3.";
    assert!(csv.contains(full), "{csv}");
    for (right, wrong, said) in [
        ("batch = 4\n", "batch = 2000\n", "small_runs: batch: 2000 given, expected 1 to the 1"),
        ("steps = 2", "steps = 0", "small_runs: steps: 0 given, expected at least 1"),
        ("{ one = {", "{ two = {", "small_runs: there is no network `two` in [networks]"),
        ("rate = 0.01", "rate = 1e9", "a small run for the cell `a`: "),
    ] {
        std::fs::write(folder.path().join("tables.toml"), tables.replace(right, wrong)).unwrap();
        let output = packlight(["report", folder.path().to_str().unwrap()]).output().unwrap();
        assert!(!output.status.success() && stderr(&output).contains(said), "{}", stderr(&output));
    }
}
