//! Allocations for 200 layers with 20 codecs each: of what is kept, where many layers share what they save; of a
//! whole step's peak, where blocks may be recomputed; and within a limit of time.

#[path = "../tests/made/mod.rs"]
mod made;

use criterion::Criterion;
use packlight_allocation::{Measured, Objective, Result};

const SHARES: [f64; 3] = [0.5, 0.3, 0.15];

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    let records = made::records(&made::network(200, 20));
    let measured = Measured::new(&records, None)?;
    criterion.bench_function("average", |b| b.iter(|| Measured::new(&records, None).is_ok()));
    for (name, objective) in [("sum", Objective::Sum), ("worst", Objective::Worst)] {
        allocations(&mut criterion, name, &measured, objective);
        let frontier = || measured.frontier(objective).len();
        criterion.bench_function(&format!("{name} frontier"), |b| b.iter(frontier));
    }
    let step = made::step::large(200, 20);
    let step_records = step.records();
    let whole = Measured::new(&step_records, None)?.timed(&step.times()).of_steps()?;
    allocations(&mut criterion, "peak", &whole, Objective::Sum);
    let recomputing = whole.with_recomputing()?;
    allocations(&mut criterion, "peak, recomputing", &recomputing, Objective::Sum);
    for share in SHARES {
        let budget = (share * recomputing.exact_bytes() as f64) as u64;
        let Some(slowdown) = recomputing.slowdown(&recomputing.allocate(budget, Objective::Sum)?)
        else {
            continue; // all choices are timed
        };
        let limit = 1.0 + 0.8 * (slowdown - 1.0);
        let allocate = || recomputing.allocate_in_time(budget, limit).is_ok();
        let name = format!("peak, recomputing, in time {share}x");
        criterion.bench_function(&name, |b| b.iter(allocate));
    }
    criterion.final_summary();
    Ok(())
}

fn allocations(criterion: &mut Criterion, name: &str, measured: &Measured, objective: Objective) {
    for share in SHARES {
        let budget = (share * measured.exact_bytes() as f64) as u64;
        let allocate = || measured.allocate(budget, objective).is_ok();
        criterion.bench_function(&format!("{name} {share}x"), |b| b.iter(allocate));
    }
}
