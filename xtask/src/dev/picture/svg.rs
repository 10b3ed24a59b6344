//! The screens of terminals as one SVG, which is readable on light and on dark pages.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthStr;

use super::screen::{Screen, Span};

/// The width of a column and the height of a row, in pixels, at a font size of 14 pixels.
const COLUMN: f64 = 8.4;
const ROW: usize = 19;
/// The space around the text, and the height of a title.
const MARGIN: usize = 16;
const TITLE: usize = 28;

/// A screen with its title.
pub struct Panel<'a> {
    pub title: &'a str,
    pub screen: &'a Screen,
    pub columns: usize,
}

/// The looks. A page decides about light and dark; each has its own background, so the text is readable on both.
const STYLE: &str = "\
text { font: 14px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; fill: #1f2328; white-space: pre; }
rect { fill: #f6f8fa; stroke: #d1d9e0; }
.title { fill: #59636e; }
.bold { font-weight: bold; }
.dim { fill: #59636e; }
.c31 { fill: #cf222e; }
.c32 { fill: #1a7f37; }
.c33 { fill: #9a6700; }
.c36 { fill: #0f6e84; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  rect { fill: #151b23; stroke: #3d444d; }
  .title, .dim { fill: #9198a1; }
  .c31 { fill: #ff7b72; }
  .c32 { fill: #3fb950; }
  .c33 { fill: #d29922; }
  .c36 { fill: #39c5cf; }
}
";

/// The picture of `panels`, one below the other. `description` is for those who do not see it.
pub fn svg(panels: &[Panel], description: &str) -> String {
    let columns = panels.iter().map(|panel| panel.columns).max().unwrap_or_default();
    let width = pixels(columns) + 2.0 * to_f64(MARGIN);
    let mut body = String::new();
    let mut top = 0;
    for panel in panels {
        top += draw_panel(&mut body, panel, top, width) + MARGIN / 2;
    }
    let height = top.saturating_sub(MARGIN / 2);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height}\" \
         viewBox=\"0 0 {width:.0} {height}\" role=\"img\" xml:space=\"preserve\">\n<title>{}</title>\n<style>\n{STYLE}</style>\n{body}</svg>\n",
        escape(description)
    )
}

/// Draws `panel` at the height `top`, and returns its height.
fn draw_panel(body: &mut String, panel: &Panel, top: usize, width: f64) -> usize {
    let lines = panel.screen.lines();
    let height = TITLE + lines.len() * ROW + MARGIN;
    let _ = writeln!(
        body,
        "<rect x=\"0.5\" y=\"{top}.5\" width=\"{:.1}\" height=\"{}\" rx=\"6\"/>\n\
         <text class=\"title\" x=\"{MARGIN}\" y=\"{}\">{}</text>",
        width - 1.0,
        height - 1,
        top + 19,
        escape(panel.title)
    );
    for (number, line) in lines.iter().enumerate() {
        draw_line(body, line, top + TITLE + (number + 1) * ROW - 5);
    }
    height
}

/// Draws the spans of a line with their looks. The length of each is fixed, so that columns stay in line in any font.
fn draw_line(body: &mut String, line: &[Span], bottom: usize) {
    let mut column = 0;
    for Span { text, look } in line {
        let shown = text.trim_start();
        let start = column + text.width() - shown.width();
        column += text.width();
        let shown = shown.trim_end();
        if shown.is_empty() {
            continue;
        }
        let colour = look.colour.map(|colour| format!("c{colour}"));
        let words = [look.is_bold.then(|| "bold".into()), look.is_dim.then(|| "dim".into()), colour];
        let classes = words.into_iter().flatten().collect::<Vec<String>>().join(" ");
        let class = if classes.is_empty() { String::new() } else { format!(" class=\"{classes}\"") };
        let _ = writeln!(
            body,
            "<text{class} x=\"{:.1}\" y=\"{bottom}\" textLength=\"{:.1}\">{}</text>",
            to_f64(MARGIN) + pixels(start),
            pixels(shown.width()),
            escape(shown)
        );
    }
}

/// The width of `columns`, in pixels.
fn pixels(columns: usize) -> f64 {
    to_f64(columns) * COLUMN
}

#[expect(clippy::cast_precision_loss, reason = "a few thousand pixels")]
fn to_f64(number: usize) -> f64 {
    number as f64
}

/// `text` as the content of an XML element.
fn escape(text: &str) -> String {
    let visible = text.chars().filter(|char| !char.is_control()).collect::<String>();
    visible.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_the_text_escaped_at_its_columns() {
        let mut screen = Screen::new(40);
        screen.feed(b"$ a <b>&\r\n\x1b[1m\x1b[31merror:\x1b[0m no  x\r\n");
        let picture = svg(&[Panel { title: "a & b", screen: &screen, columns: 40 }], "a run of <tool>");
        for part in [
            "width=\"368\" height=\"82\"",
            "<title>a run of &lt;tool&gt;</title>",
            ">a &amp; b</text>",
            "<text x=\"16.0\" y=\"42\" textLength=\"67.2\">$ a &lt;b&gt;&amp;</text>",
            "<text class=\"bold c31\" x=\"16.0\" y=\"61\" textLength=\"50.4\">error:</text>",
            "<text x=\"74.8\" y=\"61\" textLength=\"42.0\">no  x</text>",
        ] {
            assert!(picture.contains(part), "{part}: {picture}");
        }
        assert!(!picture.contains('\u{1b}'));
    }
}
