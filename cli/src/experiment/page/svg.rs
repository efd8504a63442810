//! What the charts of a page are made of.

use std::fmt::Write as _;

use crate::experiment::show::escaped;

/// A picture. Its units are pixels at the width of a wide window.
pub(super) struct Svg {
    width: f64,
    height: f64,
    body: String,
}

/// Where a text is relative to its place.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Svg {
    pub(super) fn new(width: f64, height: f64) -> Self {
        Self { width, height, body: String::new() }
    }

    /// Adds an element as it is.
    pub(super) fn add(&mut self, element: &str) {
        self.body.push_str(element);
    }

    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        // Writing to a String can't fail.
        let _ = write!(
            self.body,
            r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#
        );
    }

    pub(super) fn circle(&mut self, class: &str, (x, y): (f64, f64), radius: f64) {
        let _ =
            write!(self.body, r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="{radius}"/>"#);
    }

    /// A rectangle; its colour is as strong as `opacity`.
    pub(super) fn rect(
        &mut self,
        class: &str,
        (x, y): (f64, f64),
        (w, h): (f64, f64),
        opacity: f64,
    ) {
        let _ = write!(
            self.body,
            r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{w:.1}" height="{h:.1}" rx="4" fill-opacity="{opacity:.3}"/>"#
        );
    }

    /// A text of at most `most` characters, which is whole in the text that the pointer shows.
    pub(super) fn text(
        &mut self,
        class: &str,
        (x, y): (f64, f64),
        anchor: Anchor,
        text: &str,
        most: usize,
    ) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let shown = html(&shortened(text, most));
        let title = if text.chars().count() > most {
            format!("<title>{}</title>", html(text))
        } else {
            String::new()
        };
        let _ = write!(
            self.body,
            r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{shown}{title}</text>"#
        );
    }

    /// The element; `label` says what it shows, for those who do not see it.
    pub(super) fn finish(self, label: &str) -> String {
        let Self { width, height, body } = self;
        format!(
            r#"<div class="chart"><svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-label="{}">{body}</svg></div>"#,
            html(label)
        )
    }
}

/// A text for HTML: names and values are the user's.
pub(super) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in escaped(text).chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// A text of at most `most` characters.
fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.into();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// A step of an axis up to `most`, of 1, 2 or 5 and zeros, with about this number of steps.
pub(super) fn nice_step(most: f64, steps: f64) -> f64 {
    let rough = most / steps;
    let power = 10.0_f64.powf(rough.log10().floor());
    let digit = [1.0, 2.0, 5.0].into_iter().find(|digit| digit * power >= rough * 0.999);
    digit.unwrap_or(10.0) * power
}
