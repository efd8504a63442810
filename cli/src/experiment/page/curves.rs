//! Survival curves: the share of runs that have not failed, by time.

use std::fmt::Write as _;

use experiments::campaign::{Outcome, survival};

use super::rates::trimmed;
use super::svg::{Anchor, Svg, nice_step};

/// The most curves: more can't be told apart.
pub(super) const MOST: usize = 8;
const WIDTH: f64 = 940.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 640.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 300.0;
/// The most marks of runs at the time limit of a curve.
const MARKS: usize = 200;

/// The runs of a curve: how long each lasted, in seconds, and how it ended.
pub(super) struct Curve {
    pub(super) name: String,
    pub(super) runs: Vec<(f64, Outcome)>,
}

/// The chart; `None` if no run failed.
pub(super) fn chart(curves: &[Curve], label: &str) -> Option<String> {
    let failures =
        curves.iter().flat_map(|curve| &curve.runs).filter(|run| run.1 == Outcome::Failed);
    let last = failures.map(|run| run.0).fold(0.0, f64::max);
    if last <= 0.0 {
        return None;
    }
    let step = nice_step(last, 6.0);
    let most = (last * 1.05 / step).ceil() * step;
    let x = |seconds: f64| LEFT + (RIGHT - LEFT) * (seconds / most).min(1.0);
    let y = |share: f64| BOTTOM - (BOTTOM - TOP) * share;
    let mut svg = Svg::new(WIDTH, HEIGHT);
    for share in [0.0, 0.25, 0.5, 0.75, 1.0] {
        svg.line("grid", (LEFT, y(share)), (RIGHT, y(share)));
        let text = format!("{} %", trimmed(share * 100.0));
        svg.text("tick", (LEFT - 10.0, y(share) + 4.0), Anchor::End, &text, 12);
    }
    let (unit, name) = if most < 1.0 { (1000.0, "ms") } else { (1.0, "s") };
    let mut tick = 0.0;
    while tick <= most * 1.001 {
        svg.line("grid", (x(tick), TOP), (x(tick), BOTTOM));
        let text = format!("{} {name}", trimmed(tick * unit));
        svg.text("tick", (x(tick), BOTTOM + 20.0), Anchor::Middle, &text, 14);
        tick += step;
    }
    let middle = f64::midpoint(LEFT, RIGHT);
    svg.text("axis", (middle, BOTTOM + 46.0), Anchor::Middle, "time since the start of a run", 60);
    for (number, curve) in curves.iter().enumerate() {
        let limited: Vec<f64> = curve
            .runs
            .iter()
            .filter(|run| run.1 == Outcome::Limited && run.0 <= most)
            .map(|run| run.0)
            .collect();
        // Behind the last run that is seen, nothing is known, unless each came to its own end.
        let last = curve.runs.iter().map(|run| run.0).fold(0.0, f64::max);
        let end = if limited.is_empty() { most } else { last.min(most) };
        let mut path = format!("M{:.1} {:.1}", x(0.0), y(1.0));
        let steps = survival(&curve.runs);
        for step in &steps {
            // Writing to a String can't fail.
            let _ = write!(path, "H{:.1}V{:.1}", x(step.seconds), y(step.survival));
        }
        let _ = write!(path, "H{:.1}", x(end));
        svg.add(&format!(r#"<path class="curve c{number}" d="{path}"/>"#));
        for seconds in limited.into_iter().take(MARKS) {
            let share = steps.iter().rev().find(|step| step.seconds <= seconds);
            let at = y(share.map_or(1.0, |step| step.survival));
            svg.line(&format!("mark c{number}"), (x(seconds), at - 6.0), (x(seconds), at + 6.0));
        }
        let line = TOP + 12.0 + 40.0 * number as f64;
        svg.line(&format!("curve c{number}"), (RIGHT + 24.0, line), (RIGHT + 60.0, line));
        svg.text("label", (RIGHT + 70.0, line + 5.0), Anchor::Start, &curve.name, 26);
        let failed = curve.runs.iter().filter(|run| run.1 == Outcome::Failed).count();
        let text = format!("{failed} of {} runs failed", curve.runs.len());
        svg.text("tick", (RIGHT + 70.0, line + 21.0), Anchor::Start, &text, 40);
    }
    Some(svg.finish(label))
}
