//! Bars beside each other, each with how far the rounds lie apart.

use super::{Scale, escaped};
use crate::number::shown;

const WIDTH: f64 = 560.0;
const LEFT: f64 = 190.0;
const RIGHT: f64 = 70.0;
const TOP: f64 = 28.0;
const ROW: f64 = 24.0;
const BOTTOM: f64 = 24.0;
const BETWEEN: f64 = 10.0;

/// One bar.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) colour: usize,
    pub(crate) value: f64,
    /// The smallest and the largest, when there are several.
    pub(crate) range: Option<(f64, f64)>,
}

/// Draws bars of one unit, for a page.
pub(crate) fn bars(title: &str, bars: &[Bar]) -> String {
    let height = height_of(bars);
    let inner = drawn(title, bars);
    let title = escaped(title);
    format!(
        "<figure>\n<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{title}\">\n{inner}</svg>\n\
         </figure>\n"
    )
}

/// Pictures of bars, one below the other, as a file of its own with these styles.
pub(crate) fn bars_file(style: &str, pictures: &[(String, Vec<Bar>)]) -> String {
    let (mut inner, mut top) = (String::new(), 0.0);
    for (title, bars) in pictures {
        let drawn = drawn(title, bars);
        inner.push_str(&format!(
            "<g transform=\"translate(0 {top})\">\n{drawn}</g>\n"
        ));
        top += height_of(bars) + BETWEEN;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {top}\" role=\"img\">\n\
         <style>\n{style}</style>\n<rect width=\"{WIDTH}\" height=\"{top}\" class=\"back\"/>\n{inner}</svg>\n"
    )
}

fn height_of(bars: &[Bar]) -> f64 {
    let count = f64::from(u32::try_from(bars.len()).unwrap_or(u32::MAX));
    TOP + ROW * count + BOTTOM
}

fn drawn(title: &str, bars: &[Bar]) -> String {
    let height = height_of(bars);
    let largest = |bar: &Bar| bar.range.map_or(bar.value, |(_, max)| max.max(bar.value));
    let scale = Scale::linear(bars.iter().map(largest).fold(0.0, f64::max));
    let x_of = |value: f64| LEFT + scale.part(value) * (WIDTH - LEFT - RIGHT);
    let title = escaped(title);
    let mut svg = format!("<text x=\"4\" y=\"16\" class=\"title\">{title}</text>\n");
    for (value, text) in &scale.ticks {
        let x = x_of(*value);
        svg.push_str(&format!(
            "<path class=\"grid\" d=\"M{x:.1} {TOP}V{:.1}\"/>\
             <text class=\"mark middle\" x=\"{x:.1}\" y=\"{:.1}\">{text}</text>\n",
            height - BOTTOM,
            height - 8.0
        ));
    }
    let mut y = TOP;
    for bar in bars {
        svg.push_str(&row(bar, y, &x_of));
        y += ROW;
    }
    svg
}

fn row(bar: &Bar, y: f64, x_of: &dyn Fn(f64) -> f64) -> String {
    let (end, middle) = (x_of(bar.value), y + ROW / 2.0);
    let mut svg = format!(
        "<text class=\"mark end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\
         <rect class=\"bar c{}\" x=\"{LEFT}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>",
        LEFT - 6.0,
        middle + 4.0,
        escaped(&bar.name),
        bar.colour,
        y + 4.0,
        (end - LEFT).max(0.5),
        ROW - 8.0
    );
    let mut text_x = end;
    if let Some((min, max)) = bar.range {
        let (from, to) = (x_of(min), x_of(max));
        text_x = text_x.max(to);
        svg.push_str(&format!(
            "<path class=\"range\" d=\"M{from:.1} {middle:.1}H{to:.1}M{from:.1} {:.1}v8M{to:.1} {:.1}v8\"/>",
            middle - 4.0,
            middle - 4.0
        ));
    }
    svg.push_str(&format!(
        "<text class=\"mark\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
        text_x + 6.0,
        middle + 4.0,
        shown(bar.value)
    ));
    svg
}
