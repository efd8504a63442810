//! The rates of cells, or of the values of factors, with their intervals.

use experiments::campaign::Rate;

use super::svg::{Anchor, Svg, nice_step};
use crate::experiment::show;

const ROW: f64 = 28.0;
const GROUP: f64 = 36.0;
/// Where the rates begin and end.
const PLOT: (f64, f64) = (250.0, 640.0);
const WIDTH: f64 = 940.0;
/// The room for the axis.
const AXIS: f64 = 34.0;

/// Rates under a name.
pub(super) struct Group {
    pub(super) name: String,
    pub(super) rates: Vec<(String, Rate)>,
}

/// The chart.
pub(super) fn chart(groups: &[Group], label: &str) -> String {
    let named = groups.iter().filter(|group| !group.name.is_empty()).count() as f64;
    let rows: usize = groups.iter().map(|group| group.rates.len()).sum();
    let bottom = 8.0 + named * GROUP + rows as f64 * ROW;
    let mut svg = Svg::new(WIDTH, bottom + AXIS);
    let scale = Scale::of(groups);
    let mut tick = 0.0;
    while tick <= scale.most * 1.001 {
        let x = scale.x(tick);
        svg.line("grid", (x, 4.0), (x, bottom));
        let text = format!("{} %", trimmed(tick * 100.0));
        svg.text("tick", (x, bottom + 20.0), Anchor::Middle, &text, 12);
        tick += scale.step;
    }
    let mut y = 8.0;
    for group in groups {
        if !group.name.is_empty() {
            svg.text("group", (8.0, y + 24.0), Anchor::Start, &group.name, 60);
            y += GROUP;
        }
        for (name, rate) in &group.rates {
            row(&mut svg, &scale, y + ROW / 2.0, name, rate);
            y += ROW;
        }
    }
    svg.finish(label)
}

fn row(svg: &mut Svg, scale: &Scale, y: f64, name: &str, rate: &Rate) {
    let name = if name.is_empty() { "\"\"" } else { name };
    svg.text("label", (PLOT.0 - 14.0, y + 5.0), Anchor::End, name, 32);
    if let (Some(low), Some(high)) = (rate.low, upper(rate)) {
        let (left, right) = (scale.x(low), scale.x(high));
        svg.line("interval", (left, y), (right, y));
        svg.line("interval", (left, y - 5.0), (left, y + 5.0));
        svg.line("interval", (right, y - 5.0), (right, y + 5.0));
    }
    if let Some(value) = rate.rate {
        let class = if rate.low.is_some() { "dot" } else { "dot hollow" };
        svg.circle(class, (scale.x(value), y), 5.5);
    }
    let text = if rate.runs == 0 {
        "no runs".into()
    } else {
        format!("{} of {}: {}", rate.failed, rate.runs, show::rate(rate))
    };
    svg.text("value", (PLOT.1 + 16.0, y + 5.0), Anchor::Start, &text, 48);
}

/// The upper end of what is drawn: the bound that the text has.
fn upper(rate: &Rate) -> Option<f64> {
    rate.below.or(rate.high)
}

/// The axis of rates, from 0 on.
struct Scale {
    most: f64,
    step: f64,
}

impl Scale {
    fn of(groups: &[Group]) -> Self {
        let rates = groups.iter().flat_map(|group| &group.rates);
        let bounds = rates.flat_map(|(_, rate)| [rate.rate, upper(rate)]);
        let most = bounds.flatten().fold(0.0, f64::max);
        let step = if most > 0.5 { 0.2 } else { nice_step(most.max(1e-9), 5.0) };
        let most = if most > 0.5 { 1.0 } else { (most / step).ceil().max(1.0) * step };
        Self { most, step }
    }

    fn x(&self, rate: f64) -> f64 {
        PLOT.0 + (PLOT.1 - PLOT.0) * rate / self.most
    }
}

/// A number without the zeros behind its digits.
pub(super) fn trimmed(number: f64) -> String {
    let text = format!("{number:.6}");
    text.trim_end_matches('0').trim_end_matches('.').into()
}
