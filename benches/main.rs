//! What the pure parts cost: `cargo bench --no-default-features --bench pure`. Without the engine
//! they are built in seconds.

#![expect(clippy::arithmetic_side_effects, reason = "the numbers are those of this file")]
#![expect(clippy::unwrap_used, reason = "what is measured here must be valid")]

mod fold;
mod log;
mod plan;
mod route;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    plan::over_a_million_files(&mut criterion);
    route::of_a_batch(&mut criterion);
    fold::of_a_hundred_thousand_commits(&mut criterion);
    criterion.final_summary();
}
