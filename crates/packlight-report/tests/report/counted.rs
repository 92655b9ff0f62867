//! What a cell says of its difference.

use packlight_report::{
    Counted, CountedCell, CountedTable, CountedTables, ProjectedMethod, Projection, write_counted,
};

fn cell(published: &str, unit: &str, counted: Counted) -> CountedCell {
    CountedCell {
        cell: "ResNet, \"none\"".into(),
        published: published.into(),
        unit: unit.into(),
        counted,
        rule: "kept".into(),
        command: "packlight plan".into(),
        note: String::new(),
    }
}

#[test]
fn a_number_agrees_if_it_would_be_printed_alike() {
    let ratio = |number| cell("2.0", "×", Counted::Number(number));
    assert_eq!(
        [1.96, 2.04, 2.06, 1.9].map(|n| ratio(n).agrees().unwrap()),
        [true, true, false, false]
    );
    assert_eq!(cell("30.63", "MiB", Counted::Number(30.625)).agrees(), Some(true));
    assert_eq!(cell("15.01", "×", Counted::Number(15.0)).agrees(), Some(false));
    assert_eq!(cell("15.01", "MiB", Counted::Implied("rank 3".into())).agrees(), None);
    assert_eq!(cell("15.01", "MiB", Counted::Nothing).difference(), None);
}

#[test]
fn shares_differ_by_points_and_all_else_by_per_cent() {
    let difference = |unit| cell("30", unit, Counted::Number(33.0)).difference().unwrap();
    assert!((difference("%") - 3.0).abs() < 1e-9 && (difference("GB") - 10.0).abs() < 1e-9);
}

#[test]
fn page_and_csv_hold_every_cell() {
    let folder = tempfile::tempdir().unwrap();
    let cells = vec![
        cell("1.25", "GB", Counted::Number(1.2499)),
        cell("29", "%", Counted::Number(31.2)), // 2.2 points, 7.6 % of 29
        cell("7.88", "MiB", Counted::Implied("mean rank 41 of 64".into())),
        cell("50", "%", Counted::Number(48.0)), // 4 % of 50
        CountedCell { rule: "peak".into(), ..cell("50", "%", Counted::Number(40.0)) },
        cell("2", "×", Counted::Number(1.6)), // it would be printed alike
    ];
    let table = CountedTable {
        id: "aux".into(),
        title: "Auxiliary".into(),
        source: "Woo".into(),
        about: "Batch 512.".into(),
        cells,
    };
    let rules = vec![("kept".to_owned(), "What the planner counts.".to_owned())];
    let method = |name: &str, bytes: f64| ProjectedMethod {
        name: name.into(),
        multiplications: vec![1e9, 8e9],
        bytes: vec![bytes, 4.0 * bytes],
    };
    let projection = Some(Projection {
        about: "A convolution of 64 channels.".into(),
        sides: vec![8.0, 16.0],
        methods: vec![method("vanilla", 1e6), method("HOSVD", 1e5)],
    });
    let tables =
        CountedTables { title: "By counting".into(), tables: vec![table], rules, projection };
    let summary = write_counted(folder.path(), &tables).unwrap();
    assert_eq!((summary.rows, summary.cells, summary.counted, summary.agree), (6, 5, 5, 2));
    let page = std::fs::read_to_string(summary.page).unwrap();
    assert!(page.contains("6 rows for 5 published cells. In 5 of them"), "{page}");
    assert!(page.contains("; with these, 3 are within 5 % of what was published"), "{page}");
    for words in ["agrees", "+2.2 points", "mean rank 41 of 64", "1.25 GB", "31 %"] {
        assert!(page.contains(words), "{words}");
    }
    assert!(page.contains("<p>A convolution of 64 channels.</p>"), "{page}");
    assert!(page.contains("At 16 x 16, HOSVD keeps 0.10× the bytes for 1"), "{page}");
    assert_eq!(summary.figures, [folder.path().join("figures/projection.svg")]);
    let drawn = std::fs::read_to_string(folder.path().join("figures/projection.csv")).unwrap();
    assert!(drawn.contains("HOSVD,16,8000000000,400000"), "{drawn}");
    let csv = std::fs::read_to_string(summary.table).unwrap();
    assert_eq!(csv.lines().count(), 7);
    assert!(
        csv.contains("aux,\"ResNet, \"\"none\"\"\",%,29,31.2,,2.1999999999999993,kept,"),
        "{csv}"
    );
}
