//! The report as a page of text.

use super::{Report, Section, Table};
use crate::load::Pace;
use crate::number::shown;
use crate::rounds::{Contest, Line, Sample, Spread};

/// How a page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Terminal,
    Markdown,
}

impl Form {
    fn table(self, table: &Table) -> String {
        match self {
            Self::Terminal => table.text(),
            Self::Markdown => table.markdown(),
        }
    }

    fn title(self, depth: usize, text: &str) -> String {
        match self {
            Self::Terminal => format!("\n{text}\n{}\n\n", "=".repeat(text.chars().count())),
            Self::Markdown => format!("\n{} {text}\n\n", "#".repeat(depth)),
        }
    }

    fn item(self, text: &str) -> String {
        match self {
            Self::Terminal => format!("  {text}\n"),
            Self::Markdown => format!("- {text}\n"),
        }
    }
}

/// All of it.
pub(super) fn page(report: &Report, form: Form) -> String {
    let mut text = match form {
        Form::Terminal => String::new(),
        Form::Markdown => "# Bench\n\n".to_owned(),
    };
    text.push_str(&form.item(&format!("Machine: {}", report.about)));
    for line in &report.how {
        text.push_str(&form.item(line));
    }
    for warning in &report.warnings {
        text.push_str(&form.item(&format!("WARNING: {warning}")));
    }
    for section in &report.sections {
        text.push_str(&form.title(2, &format!("{}: {}", section.name, section.title)));
        text.push_str(&body(section, form));
    }
    text
}

fn body(section: &Section, form: Form) -> String {
    let mut text = format!("{}\n", wrapped(&section.about, form));
    for contest in &section.contests {
        text.push_str(&form.title(3, &contest.plan.to_string()));
        text.push_str(&form.table(&table(contest)));
        text.push('\n');
        for sentence in aim_sentences(section, contest) {
            text.push_str(&form.item(&sentence));
        }
        for note in notes(contest) {
            text.push_str(&form.item(&note));
        }
    }
    for table in &section.tables {
        text.push_str(&form.title(3, &table.title));
        text.push_str(&form.table(table));
    }
    if !section.notes.is_empty() {
        text.push('\n');
    }
    for note in &section.notes {
        text.push_str(&form.item(note));
    }
    text
}

/// What the comparisons of a section come to in a contest.
pub(super) fn aim_sentences(section: &Section, contest: &Contest) -> Vec<String> {
    let sentences = section.aims.iter().map(|aim| aim.sentence(contest));
    sentences.flatten().collect()
}

/// Text in lines that fit a terminal; Markdown wraps itself.
fn wrapped(text: &str, form: Form) -> String {
    const WIDTH: usize = 100;
    if form == Form::Markdown {
        return text.to_owned() + "\n";
    }
    let mut out = String::new();
    let mut width = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        if width > 0 && width + 1 + length > WIDTH {
            out.push('\n');
            width = 0;
        } else if width > 0 {
            out.push(' ');
            width += 1;
        }
        out.push_str(word);
        width += length;
    }
    out
}

/// The figures of a contest: medians of the rounds, and how far the rounds lie apart.
pub(super) fn table(contest: &Contest) -> Table {
    let head = [
        "server",
        "command",
        "µs CPU",
        "min to max",
        "µs CPU, all",
        "per second",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "max ms",
        "disk bytes",
    ];
    let mut table = Table::new(contest.plan.to_string(), 2, &head);
    for line in &contest.lines {
        let spread = |of: &dyn Fn(&Sample) -> f64| Spread::of(line.samples.iter().map(of));
        let median = |of: &dyn Fn(&Sample) -> f64| shown(spread(of).median);
        let cpu = spread(&|sample| sample.cpu_us);
        table.push(vec![
            line.name.clone(),
            line.what.clone(),
            shown(cpu.median),
            format!("{} to {}", shown(cpu.min), shown(cpu.max)),
            median(&|sample| sample.cpu_whole_us),
            median(&|sample| sample.rate),
            median(&|sample| sample.percentile_ms(50.0)),
            median(&|sample| sample.percentile_ms(99.0)),
            median(&|sample| sample.percentile_ms(99.9)),
            shown(spread(&|sample| sample.percentile_ms(100.0)).max),
            median(&|sample| sample.written_bytes),
        ]);
    }
    table
}

/// What to know of the figures of a contest.
pub(super) fn notes(contest: &Contest) -> Vec<String> {
    contest
        .lines
        .iter()
        .flat_map(|line| line_notes(contest, line))
        .collect()
}

fn line_notes(contest: &Contest, line: &Line) -> Vec<String> {
    /// A generator that is at work for more of the time is the limit of a closed loop.
    const BUSY_MAX: f64 = 0.95;
    /// A part of the requests that are due has to be answered in time.
    const KEPT_MIN: f64 = 0.99;
    /// A generator that sends later than this is seen in the latencies.
    const LATE_MS_MAX: f64 = 0.2;

    let name = &line.name;
    let median = |of: fn(&Sample) -> f64| Spread::of(line.samples.iter().map(of)).median;
    let mut notes = Vec::new();
    match contest.plan.pace {
        Pace::Closed => {
            let busy = median(|sample| sample.client_busy);
            if busy > BUSY_MAX {
                notes.push(format!(
                    "{name}: the generator was busy {:.0} % of the time, so the server may do more a \
                     second",
                    busy * 100.0
                ));
            }
        }
        Pace::Open { per_second } => {
            let rate = median(|sample| sample.rate);
            if rate < f64::from(per_second) * KEPT_MIN {
                notes.push(format!("{name}: did not keep up, {}/s", shown(rate)));
            }
            let late = median(|sample| sample.late_p99_ms);
            if late > LATE_MS_MAX {
                notes.push(format!(
                    "{name}: the generator itself was late by {} ms (p99), which is in the latencies",
                    shown(late)
                ));
            }
        }
    }
    let disturbed = line.samples.iter().filter(|s| s.is_disturbed()).count();
    if disturbed > 0 {
        let others = median(|sample| sample.others + sample.steal);
        notes.push(format!(
            "{name}: {disturbed} of {} rounds were disturbed by other programs or the host ({others:.2} \
             cores, median)",
            line.samples.len()
        ));
    }
    notes
}
