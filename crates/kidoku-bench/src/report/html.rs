//! The report as a page with pictures: one file, without scripts and without anything from elsewhere.

use super::page::{aim_sentences, notes, table};
use super::plot::{Bar, COLOURS, Chart, Scale, Series, bars, bars_file, escaped, nines_of};
use super::{Bars, Report, Section, Table};
use crate::load::Pace;
use crate::number::figure;
use crate::rounds::{Contest, Line, Point, Sample, Spread};
use hdrhistogram::Histogram;

const STYLE: &str = include_str!("report.css");

/// The whole page.
pub(super) fn html(report: &Report) -> String {
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>kidoku bench</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<h1>kidoku bench</h1>\n<ul>\n<li>Machine: {}</li>\n",
        escaped(&report.about.to_string())
    );
    items(&mut html, report.how.iter());
    for warning in &report.warnings {
        let text = escaped(warning);
        html.push_str(&format!("<li class=\"warning\">{text}</li>\n"));
    }
    html.push_str("</ul>\n");
    for section in &report.sections {
        html.push_str(&body(section));
    }
    html.push_str("</body>\n</html>\n");
    html
}

fn items<'a>(html: &mut String, lines: impl Iterator<Item = &'a String>) {
    for line in lines {
        html.push_str(&format!("<li>{}</li>\n", escaped(line)));
    }
}

fn body(section: &Section) -> String {
    let mut html = format!(
        "<h2 id=\"{0}\">{0}: {1}</h2>\n<p>{2}</p>\n",
        section.name,
        escaped(&section.title),
        escaped(&section.about)
    );
    for contest in &section.contests {
        html.push_str(&format!(
            "<h3>{}</h3>\n",
            escaped(&contest.plan.to_string())
        ));
        html.push_str(&table_html(&table(contest)));
        html.push_str("<ul>\n");
        items(&mut html, aim_sentences(section, contest).iter());
        items(&mut html, notes(contest).iter());
        html.push_str("</ul>\n");
        html.push_str(&pictures(contest));
    }
    for table in &section.tables {
        html.push_str(&format!("<h3>{}</h3>\n", escaped(&table.title)));
        html.push_str(&table_html(table));
    }
    html.push_str("<div class=\"figures\">\n");
    for Bars { title, bars: each } in &section.bars {
        let coloured: Vec<Bar> = each
            .iter()
            .enumerate()
            .map(|(index, (name, value))| Bar {
                name: name.clone(),
                colour: index % COLOURS,
                value: *value,
                range: None,
            })
            .collect();
        html.push_str(&bars(title, &coloured));
    }
    html.push_str("</div>\n<ul>\n");
    items(&mut html, section.notes.iter());
    html.push_str("</ul>\n");
    html
}

fn table_html(table: &Table) -> String {
    let row = |cells: &[String], tag: &str| {
        let cells: String = cells
            .iter()
            .enumerate()
            .map(|(column, cell)| {
                let class = if column < table.words {
                    ""
                } else {
                    " class=\"figure\""
                };
                format!("<{tag}{class}>{}</{tag}>", escaped(cell))
            })
            .collect();
        format!("<tr>{cells}</tr>\n")
    };
    let rows: String = table.rows.iter().map(|cells| row(cells, "td")).collect();
    format!(
        "<div class=\"wide\"><table>\n<thead>{}</thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n",
        row(&table.head, "th")
    )
}

fn pictures(contest: &Contest) -> String {
    let mut html = "<div class=\"figures\">\n".to_owned();
    html.push_str(&cpu(contest));
    html.push_str(&distribution(contest).svg());
    html.push_str(&shape(contest).svg());
    for (index, line) in contest.lines.iter().enumerate() {
        html.push_str(&over_time(contest, line, index).svg());
    }
    html.push_str("</div>\n");
    html
}

/// One picture as a file of its own: the first contest of each row.
pub(super) fn chart(report: &Report) -> String {
    let pictures: Vec<(String, Vec<Bar>)> = report
        .sections
        .iter()
        .filter_map(|section| {
            let contest = section.contests.first()?;
            let title = format!("{}: µs of server processor", section.title);
            Some((title, cpu_bars(contest)))
        })
        .collect();
    bars_file(STYLE, &pictures)
}

fn cpu(contest: &Contest) -> String {
    bars(
        "µs of server processor for each answer, all included",
        &cpu_bars(contest),
    )
}

fn cpu_bars(contest: &Contest) -> Vec<Bar> {
    let bar = |(index, line): (usize, &Line)| {
        let spread = Spread::of(line.samples.iter().map(|sample| sample.cpu_whole_us));
        Bar {
            name: line.name.clone(),
            colour: index % COLOURS,
            value: spread.median,
            range: Some((spread.min, spread.max)),
        }
    };
    contest.lines.iter().enumerate().map(bar).collect()
}

/// All rounds of a server in one.
fn whole(line: &Line) -> Option<Histogram<u64>> {
    let mut samples = line.samples.iter();
    let mut whole = samples.next()?.latencies.clone();
    for sample in samples {
        // All have the same bounds.
        whole.add(&sample.latencies).ok()?;
    }
    Some(whole)
}

/// Which latency what part of the answers is below.
fn distribution(contest: &Contest) -> Chart {
    /// Points of a curve.
    const STEPS: u32 = 100;
    let series: Vec<Series> = lines(contest, |histogram| {
        let last = nines_of(99.999);
        (0..=STEPS)
            .map(|step| {
                let nines = last * f64::from(step) / f64::from(STEPS);
                let percent = (1.0 - 10_f64.powf(-nines)) * 100.0;
                (nines, figure(histogram.value_at_percentile(percent)) / 1e6)
            })
            .collect()
    });
    Chart {
        title: "Latency by part of the answers".to_owned(),
        x_label: "part of the answers",
        x: Scale::nines(),
        y_label: "ms",
        y: Scale::log(values(&series)),
        series,
    }
}

/// How often each latency was: ten classes for each power of ten.
fn shape(contest: &Contest) -> Chart {
    const CLASSES_PER_POWER: f64 = 10.0;
    let edge = |class: f64| 10_f64.powf(class / CLASSES_PER_POWER);
    let class_of = |nanos: u64| (figure(nanos.max(1)).log10() * CLASSES_PER_POWER).floor();
    let series: Vec<Series> = lines(contest, |histogram| {
        let mut points: Vec<(f64, f64)> = Vec::new();
        let all = figure(histogram.len().max(1));
        let mut class = class_of(histogram.min());
        let mut count = 0.0;
        for step in histogram.iter_recorded() {
            let next = class_of(step.value_iterated_to());
            while class < next {
                points.push((edge(class + 0.5) / 1e6, count / all * 100.0));
                (class, count) = (class + 1.0, 0.0);
            }
            count += figure(step.count_at_value());
        }
        points.push((edge(class + 0.5) / 1e6, count / all * 100.0));
        points
    });
    let (x, y): (Vec<f64>, Vec<f64>) = series.iter().flat_map(|s| s.points.clone()).unzip();
    Chart {
        title: "Histogram, ten classes for each power of ten".to_owned(),
        x_label: "ms",
        x: Scale::log(x.into_iter()),
        y_label: "%",
        y: Scale::linear(y.into_iter().fold(0.0, f64::max)),
        series,
    }
}

fn lines(contest: &Contest, points: impl Fn(&Histogram<u64>) -> Vec<(f64, f64)>) -> Vec<Series> {
    let line = |(index, line): (usize, &Line)| {
        Some(Series {
            name: line.name.clone(),
            colour: index % COLOURS,
            points: points(&whole(line)?),
        })
    };
    contest.lines.iter().enumerate().filter_map(line).collect()
}

fn values(series: &[Series]) -> impl Iterator<Item = f64> {
    series.iter().flat_map(|s| &s.points).map(|(_, y)| *y)
}

/// The round of a server whose p99 is the middle one, over time.
fn over_time(contest: &Contest, line: &Line, index: usize) -> Chart {
    let mut rounds: Vec<&Sample> = line.samples.iter().collect();
    rounds.sort_by(|a, b| a.percentile_ms(99.0).total_cmp(&b.percentile_ms(99.0)));
    let points: &[Point] = rounds
        .get(rounds.len() / 2)
        .map_or(&[], |sample| sample.points.as_slice());
    let series = |name: &str, colour, of: fn(&Point) -> f64| Series {
        name: name.to_owned(),
        colour: colour % COLOURS,
        points: points
            .iter()
            .filter(|point| point.count > 0)
            .map(|point| (point.begin_s, of(point)))
            .collect(),
    };
    let of_all = contest.lines.iter().flat_map(|line| &line.samples);
    let all = of_all.flat_map(|sample| &sample.points);
    let since = match contest.plan.pace {
        Pace::Closed => "sent",
        Pace::Open { .. } => "due",
    };
    Chart {
        title: format!("{}: latency over time, since {since}", line.name),
        x_label: "s",
        x: Scale::linear(points.last().map_or(1.0, |point| point.begin_s)),
        y_label: "ms",
        // The same for all servers, so that pictures can be compared.
        y: Scale::log(all.flat_map(|point| [point.p50_ms, point.max_ms])),
        series: vec![
            series("p50", index, |point| point.p50_ms),
            series("p99", index + 1, |point| point.p99_ms),
            series("max", index + 2, |point| point.max_ms),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_is_there_for_every_number() {
        for number in 0..COLOURS {
            assert!(STYLE.contains(&format!(".c{number}")), "{number}");
        }
    }
}
