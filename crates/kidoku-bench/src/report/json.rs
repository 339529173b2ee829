//! All figures of all rounds, for programs.

use super::{Report, Section, Table};
use crate::load::{Pace, Plan};
use crate::number::nanos;
use crate::rounds::{Contest, Line, Sample};
use serde_json::{Value, json};

/// Percentiles that are written out.
const PERCENTILES: [f64; 7] = [50.0, 90.0, 99.0, 99.9, 99.99, 99.999, 100.0];

/// All of it, with units in the names.
pub(super) fn json(report: &Report) -> String {
    let value = json!({
        "machine": {
            "processor": report.about.processor,
            "cores": report.about.cores,
            "memory_gib": report.about.memory_gib,
            "system": report.about.system,
        },
        "how": report.how,
        "warnings": report.warnings,
        "rows": report.sections.iter().map(section).collect::<Vec<_>>(),
    });
    format!("{value:#}\n")
}

fn section(section: &Section) -> Value {
    json!({
        "row": section.name,
        "title": section.title,
        "about": section.about,
        "contests": section.contests.iter().map(|c| contest(c, section)).collect::<Vec<_>>(),
        "tables": section.tables.iter().map(table).collect::<Vec<_>>(),
        "notes": section.notes,
    })
}

fn contest(contest: &Contest, section: &Section) -> Value {
    let comparisons: Vec<Value> = section
        .aims
        .iter()
        .filter_map(|aim| {
            let found = aim.compare(contest)?;
            Some(json!({
                "ours": aim.ours,
                "theirs": aim.theirs,
                "figure": format!("{:?}", aim.figure),
                "ratio": found.ratio,
                "ratio_min": found.min,
                "ratio_max": found.max,
                "is_below_noise": found.is_below_noise,
                "aim_ratio_max": aim.ratio_max,
            }))
        })
        .collect();
    json!({
        "plan": plan(&contest.plan),
        "servers": contest.lines.iter().map(line).collect::<Vec<_>>(),
        "comparisons": comparisons,
    })
}

fn plan(plan: &Plan) -> Value {
    let per_second = match plan.pace {
        Pace::Closed => None,
        Pace::Open { per_second } => Some(per_second),
    };
    json!({
        "connections": plan.connections,
        "pipeline": plan.pipeline,
        "due_per_second": per_second,
        "warm_up_ns": nanos(plan.warm_up),
        "duration_ns": nanos(plan.duration),
    })
}

fn line(line: &Line) -> Value {
    json!({
        "server": line.name,
        "command": line.what,
        "rounds": line.samples.iter().map(sample).collect::<Vec<_>>(),
    })
}

fn sample(sample: &Sample) -> Value {
    let latencies: serde_json::Map<String, Value> = PERCENTILES
        .iter()
        .map(|percent| (format!("p{percent}"), json!(sample.percentile_ms(*percent))))
        .collect();
    let over_time: Vec<Value> = sample
        .points
        .iter()
        .map(|p| json!([p.begin_s, p.count, p.p50_ms, p.p99_ms, p.max_ms]))
        .collect();
    json!({
        "answers_per_second": sample.rate,
        "cpu_us": sample.cpu_us,
        "cpu_whole_us": sample.cpu_whole_us,
        "server_cores": sample.server_cores,
        "written_bytes": sample.written_bytes,
        "latency_ms": latencies,
        "latency_count": sample.latencies.len(),
        "client_busy": sample.client_busy,
        "late_p99_ms": sample.late_p99_ms,
        "other_cores": sample.others,
        "steal_cores": sample.steal,
        "load_average": sample.load,
        "over_time_s_count_p50_p99_max": over_time,
    })
}

fn table(table: &Table) -> Value {
    json!({ "title": table.title, "head": table.head, "rows": table.rows })
}
