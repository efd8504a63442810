use rand::{RngExt as _, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

/// With one failure, and with failures alone, the bounds have closed forms.
#[test]
fn bounds_with_closed_forms() {
    let close = |actual: f64, expected: f64| {
        assert!((actual - expected).abs() < 1e-9, "{actual} instead of {expected}");
    };
    for n in [2_u64, 10, 1000] {
        let (low, high) = interval(1, n);
        close(low, 1.0 - 0.975_f64.powf(1.0 / n as f64));
        close(high, 1.0 - 0.025_f64.powf(1.0 / (n - 1) as f64));
        let (low, high) = interval(n, n);
        close(low, 0.025_f64.powf(1.0 / n as f64));
        close(high, 1.0);
    }
    close(interval(1, 1).1, 1.0);
    assert_eq!(estimate(1, 5), None);
}

/// Simulated cells: the estimate is right on average, where k / n is too high, and the interval
/// has the rate at least 95 % of the times.
#[test]
fn simulated_cells() {
    const CELLS: u32 = 4000;
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for (k, rate) in [(2, 0.3), (5, 0.1), (5, 0.7)] {
        let (mut estimates, mut naive, mut inside) = (0.0, 0.0, 0);
        for _ in 0..CELLS {
            let (mut failed, mut runs) = (0, 0);
            while failed < k {
                runs += 1;
                failed += u64::from(random.random_bool(rate));
            }
            estimates += estimate(k, runs).unwrap();
            naive += k as f64 / runs as f64;
            let (low, high) = interval(k, runs);
            inside += u32::from(low <= rate && rate <= high);
        }
        let cells = f64::from(CELLS);
        let (estimate, naive) = (estimates / cells, naive / cells);
        assert!((estimate - rate).abs() < 0.012, "{k} failures at {rate}: {estimate}");
        assert!(naive > rate + 0.015, "{k} failures at {rate}: {naive}");
        let coverage = f64::from(inside) / cells;
        assert!(coverage > 0.944, "{k} failures at {rate}: {coverage}");
    }
}
