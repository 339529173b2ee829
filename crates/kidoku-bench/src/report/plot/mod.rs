//! Pictures as SVG, drawn here: a few lines and rectangles do not need a library, and a page without
//! scripts is read anywhere.

mod bars;
mod lines;
mod scale;

pub(super) use bars::{Bar, bars, bars_file};
pub(super) use lines::{Chart, Series};
pub(super) use scale::{Scale, nines_of};

/// Colours that there are, as classes `c0` and so on of the page.
pub(super) const COLOURS: usize = 10;

/// Text inside of XML.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_can_not_leave_its_place() {
        assert_eq!(escaped("a<b>&\"c\""), "a&lt;b&gt;&amp;&quot;c&quot;");
    }
}
