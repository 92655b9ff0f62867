//! An allocation for 200 layers with 20 codecs each, of which many share what they save.

#[path = "../tests/made/mod.rs"]
mod made;

use criterion::Criterion;
use packlight_allocation::{Measured, Objective, Result};

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    let records = made::records(&made::network(200, 20));
    let measured = Measured::new(&records, None)?;
    criterion.bench_function("average", |b| b.iter(|| Measured::new(&records, None).is_ok()));
    for (name, objective) in [("sum", Objective::Sum), ("worst", Objective::Worst)] {
        for share in [0.5, 0.3, 0.15] {
            let budget = (share * measured.exact_bytes() as f64) as u64;
            let allocate = || measured.allocate(budget, objective).is_ok();
            criterion.bench_function(&format!("{name} {share}x"), |b| b.iter(allocate));
        }
        let frontier = || measured.frontier(objective).len();
        criterion.bench_function(&format!("{name} frontier"), |b| b.iter(frontier));
    }
    criterion.final_summary();
    Ok(())
}
