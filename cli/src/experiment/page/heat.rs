//! The rates of each combination of the values of two factors.

use experiments::campaign::Rate;

use super::svg::{Anchor, Svg};
use crate::experiment::percent::{Round, percent};

/// The most values of a factor that are drawn.
pub(super) const MOST: usize = 24;
const LEFT: f64 = 220.0;
const TOP: f64 = 56.0;
const WIDTH: f64 = 940.0;
const ROW: f64 = 52.0;

/// Two factors, and the rate of each of their combinations; `None` if no cell has it.
pub(super) struct Heat {
    pub(super) rows: (String, Vec<String>),
    pub(super) columns: (String, Vec<String>),
    pub(super) rates: Vec<Vec<Option<Rate>>>,
}

/// The chart.
pub(super) fn chart(heat: &Heat, label: &str) -> String {
    let columns = heat.columns.1.len().max(1) as f64;
    let width = ((WIDTH - LEFT) / columns).min(150.0);
    let mut svg = Svg::new(WIDTH, TOP + heat.rows.1.len() as f64 * ROW + 8.0);
    let most = (width / 7.5) as usize;
    svg.text("group", (LEFT, 18.0), Anchor::Start, &heat.columns.0, 80);
    svg.text("group", (LEFT - 14.0, 18.0), Anchor::End, &heat.rows.0, 26);
    for (number, name) in heat.columns.1.iter().enumerate() {
        let x = LEFT + (number as f64 + 0.5) * width;
        svg.text("label", (x, TOP - 12.0), Anchor::Middle, shown(name), most);
    }
    for (line, (name, rates)) in heat.rows.1.iter().zip(&heat.rates).enumerate() {
        let y = TOP + line as f64 * ROW;
        svg.text("label", (LEFT - 14.0, y + 29.0), Anchor::End, shown(name), 28);
        for (number, rate) in rates.iter().enumerate() {
            square(&mut svg, (LEFT + number as f64 * width, y), width, rate.as_ref());
        }
    }
    svg.finish(label)
}

fn square(svg: &mut Svg, (x, y): (f64, f64), width: f64, rate: Option<&Rate>) {
    let (at, size) = ((x + 2.0, y + 2.0), (width - 4.0, ROW - 4.0));
    svg.rect("cold", at, size, 1.0);
    let middle = x + width / 2.0;
    let Some((rate, value)) = rate.and_then(|rate| Some((rate, rate.rate?))) else {
        return svg.text("tick", (middle, y + 30.0), Anchor::Middle, "no runs", 9);
    };
    svg.rect("hot", at, size, value);
    let on = if value > 0.45 { " on" } else { "" };
    let mark = if rate.too_high || rate.until_last.is_some() { "*" } else { "" };
    let text = format!("{}{mark}", percent(value, Round::Nearest));
    svg.text(&format!("label{on}"), (middle, y + 24.0), Anchor::Middle, &text, 12);
    let text = format!("{} of {}", rate.failed, rate.runs);
    svg.text(&format!("count{on}"), (middle, y + 40.0), Anchor::Middle, &text, 16);
}

/// A value; the empty text would not be seen.
fn shown(value: &str) -> &str {
    if value.is_empty() { "\"\"" } else { value }
}
