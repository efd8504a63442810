//! The report as one self-contained HTML page: style, script and data are in it.

use super::Report;

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: [&str; 4] = [
    include_str!("page/base.js"),
    include_str!("page/lanes.js"),
    include_str!("page/graph.js"),
    include_str!("page/page.js"),
];

impl Report {
    /// The report as an HTML page.
    pub fn to_html(&self) -> Result<String, serde_json::Error> {
        let title = format!("{}: {}", self.machine.guest, self.verdict);
        let text = self.to_string();
        let report = data(&serde_json::to_string(self)?);
        let script = SCRIPT.concat();
        let parts = [
            ("title", escape(&title)),
            ("text", escape(&text)),
            ("style", STYLE.to_owned()),
            ("report", report),
            ("script", script),
        ];
        let mut page = String::new();
        for (number, part) in PAGE.split("{{").enumerate() {
            let Some((name, rest)) = part.split_once("}}").filter(|_| number > 0) else {
                page.push_str(part);
                continue;
            };
            for (_, content) in parts.iter().filter(|(known, _)| *known == name) {
                page.push_str(content);
            }
            page.push_str(rest);
        }
        Ok(page)
    }
}

/// Escapes text for an HTML element.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Escapes JSON for a script element: no name of the guest can end the element.
fn data(json: &str) -> String {
    json.replace('<', "\\u003c")
}

#[cfg(test)]
#[path = "html_tests.rs"]
mod tests;
