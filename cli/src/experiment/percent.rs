//! Rates as percentages that stay true when they are rounded.

/// How a percentage is rounded.
#[derive(Clone, Copy, Debug)]
pub(super) enum Round {
    /// A lower bound.
    Down,
    /// An estimate.
    Nearest,
    /// An upper bound.
    Up,
}

/// A rate from 0 to 1 in percent, with two significant digits of its distance from the nearer of
/// 0 and 100 %, and at least one decimal. 0 % and 100 % are printed only if they are exact.
pub(super) fn percent(rate: f64, round: Round) -> String {
    if rate <= 0.0 || rate >= 1.0 {
        return if rate <= 0.0 { "0 %" } else { "100 %" }.into();
    }
    let distance = rate.min(1.0 - rate) * 100.0;
    let decimals = (1.0 - distance.log10().floor()).clamp(1.0, 18.0) as usize;
    let scale = 10.0_f64.powi(decimals as i32);
    let scaled = rate * 100.0 * scale;
    let nearest = scaled.round();
    // A bound that has these digits exactly, but for an error of the multiplication.
    let is_exact = (scaled - nearest).abs() < 1e-9 * scaled.max(1.0);
    let rounded = match round {
        Round::Down if !is_exact => scaled.floor(),
        Round::Up if !is_exact => scaled.ceil(),
        _ => nearest,
    };
    format!("{:.decimals$} %", rounded / scale)
}

#[cfg(test)]
#[path = "percent_tests.rs"]
mod tests;
