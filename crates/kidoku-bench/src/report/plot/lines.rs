//! Lines over two axes.

use super::{Scale, escaped};

/// The whole picture.
const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 260.0;
/// Around the axes: for what is written there.
const LEFT: f64 = 56.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 28.0;
const BOTTOM: f64 = 40.0;

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Series {
    pub(crate) name: String,
    /// A number of a colour.
    pub(crate) colour: usize,
    pub(crate) points: Vec<(f64, f64)>,
}

/// What is drawn.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) x_label: &'static str,
    pub(crate) x: Scale,
    pub(crate) y_label: &'static str,
    pub(crate) y: Scale,
    pub(crate) series: Vec<Series>,
}

impl Chart {
    /// As SVG, the names of the lines below it.
    pub(crate) fn svg(&self) -> String {
        let title = escaped(&self.title);
        let mut svg = format!(
            "<figure>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">\n\
             <text x=\"{LEFT}\" y=\"16\" class=\"title\">{title}</text>\n"
        );
        self.axes(&mut svg);
        for series in &self.series {
            let points: Vec<String> = series
                .points
                .iter()
                .map(|(x, y)| format!("{:.1},{:.1}", self.x_of(*x), self.y_of(*y)))
                .collect();
            svg.push_str(&format!(
                "<polyline class=\"line c{}\" points=\"{}\"/>\n",
                series.colour,
                points.join(" ")
            ));
        }
        svg.push_str("</svg>\n<figcaption>");
        for series in &self.series {
            let (colour, name) = (series.colour, escaped(&series.name));
            svg.push_str(&format!("<span class=\"key c{colour}\"></span>{name} "));
        }
        svg.push_str("</figcaption>\n</figure>\n");
        svg
    }

    fn x_of(&self, value: f64) -> f64 {
        LEFT + self.x.part(value) * (WIDTH - LEFT - RIGHT)
    }

    fn y_of(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.part(value) * (HEIGHT - TOP - BOTTOM)
    }

    fn axes(&self, svg: &mut String) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for (value, text) in &self.y.ticks {
            let y = self.y_of(*value);
            svg.push_str(&format!(
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/>\
                 <text class=\"mark end\" x=\"{:.1}\" y=\"{:.1}\">{text}</text>\n",
                LEFT - 6.0,
                y + 4.0
            ));
        }
        for (value, text) in &self.x.ticks {
            let x = self.x_of(*value);
            svg.push_str(&format!(
                "<path class=\"grid\" d=\"M{x:.1} {TOP}V{bottom}\"/>\
                 <text class=\"mark middle\" x=\"{x:.1}\" y=\"{:.1}\">{text}</text>\n",
                bottom + 15.0
            ));
        }
        svg.push_str(&format!(
            "<text class=\"mark end\" x=\"{right}\" y=\"{:.1}\">{}</text>\
             <text class=\"mark\" x=\"4\" y=\"16\">{}</text>\n",
            HEIGHT - 6.0,
            escaped(self.x_label),
            escaped(self.y_label)
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_inside_of_their_axes() {
        let chart = Chart {
            title: "a < b".to_owned(),
            x_label: "s",
            x: Scale::linear(2.0),
            y_label: "ms",
            y: Scale::log([1.0, 10.0].into_iter()),
            series: vec![Series {
                name: "x&y".to_owned(),
                colour: 3,
                points: vec![(0.0, 1.0), (2.0, 10.0), (9.0, 0.0)],
            }],
        };
        let svg = chart.svg();
        let (left, bottom) = (LEFT, HEIGHT - BOTTOM);
        let (right, top) = (WIDTH - RIGHT, TOP);
        let points = format!("{left:.1},{bottom:.1} {right:.1},{top:.1} {right:.1},{bottom:.1}");
        assert!(svg.contains(&points), "{svg}");
        assert!(svg.contains("a &lt; b") && svg.contains("x&amp;y"));
    }
}
