//! Measures the cost of jitterbug, in comparison with the minimum that is possible.
//!
//! `cargo bench --bench performance`; `docs/performance.md` says what the figures mean.

mod contest;
mod exits;
mod filtered;
mod firing;
mod image;
mod points;
mod raw;
mod report;
mod reset;
mod scripted;
mod startup;
mod whole;

use std::error::Error;
use std::path::Path;

use criterion::Criterion;
use vmm::Host;
use vmm::kvm::host::DEFAULT_DEVICE;

/// Any error.
type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    if let Some(result) = startup::be_floor() {
        return result;
    }
    if let Some(result) = filtered::be_turn() {
        return result;
    }
    let device = Path::new(DEFAULT_DEVICE);
    let host = match Host::open(device) {
        Ok(host) => host,
        Err(error) => {
            eprintln!("SKIPPED, nothing is measured: {error}");
            return Ok(());
        }
    };
    let mut criterion = Criterion::default().configure_from_args();
    let mut contests = vec![
        exits::measure(&mut criterion, &host, device),
        filtered::measure(&mut criterion, device),
        scripted::measure(&mut criterion, &host),
        startup::measure(&mut criterion, device)?,
        firing::measure(&mut criterion, &host)?,
    ];
    contests.extend(points::measure(&mut criterion, &host, device));
    contests.extend(reset::measure(&mut criterion, &host, device)?);
    contests.extend(whole::measure(&mut criterion, &host)?);
    criterion.final_summary();
    report::print_host();
    for rounds in &contests {
        report::print(rounds);
    }
    Ok(())
}
