//! A report with plots, in one file that needs no other.

use super::value;
use crate::statistics::Row;
use crate::works::Work;
use std::fmt::Write as _;
use std::path::Path;

pub(crate) fn write_html(file: &Path, rows: &[Row]) -> Result<(), String> {
    std::fs::write(file, page(rows))
        .map_err(|error| format!("cannot write {}: {error}", file.display()))
}

const STYLE: &str = "body{font:14px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}\
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.15rem .7rem;text-align:right;border-bottom:1px solid #ddd}\
td:first-child,th:first-child{text-align:left}tr.ours td:first-child{font-weight:600}svg{max-width:100%;height:auto}\
svg text{font:11px system-ui,sans-serif;fill:#555}svg .axis{stroke:#999}svg .grid{stroke:#eee}.bad{color:#b00}";

fn page(rows: &[Row]) -> String {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>partywall bench</title><style>{STYLE}</style>\n\
         <h1>partywall bench</h1>\n<p>Times by that of each work's limit, measured in turn with it; smaller is better.</p>\n"
    );
    if let Some(row) = rows.first() {
        let cores: Vec<String> = row.cores.iter().map(usize::to_string).collect();
        let _ = writeln!(
            out,
            "<p>Cores {}: {}.</p>",
            cores.join(", "),
            escape(&row.placement)
        );
    }
    for work in Work::ALL {
        let of_work: Vec<&Row> = rows.iter().filter(|row| row.work == work).collect();
        if of_work.is_empty() {
            continue;
        }
        let _ = writeln!(out, "<h2>{work}: {}</h2>", escape(work.title()));
        latencies(&mut out, &of_work);
        sizes(&mut out, &of_work);
        table(&mut out, &of_work);
    }
    out + "</html>\n"
}

fn table(out: &mut String, rows: &[&Row]) {
    out.push_str(
        "<table><tr><th>contender<th>bytes<th>by the limit<th>half of the pairs<th>median<th>min<th>max<th>limit\n",
    );
    for row in rows {
        let class = if row.rival { "" } else { " class=\"ours\"" };
        let faults = row.faults.map_or(String::new(), |faults| {
            format!(
                " <span class=\"bad\">{} lost, {} torn, {} reordered</span>",
                faults.lost, faults.torn, faults.reordered
            )
        });
        let _ = writeln!(
            out,
            "<tr{class}><td>{}{faults}<td>{}<td>{:.3}<td>{:.3} – {:.3}<td>{}<td>{}<td>{}<td>{}",
            escape(&row.contender),
            row.size,
            row.ratio_to_limit,
            row.ratio_quartiles[0],
            row.ratio_quartiles[1],
            value(row, row.median),
            value(row, row.min),
            value(row, row.max),
            value(row, row.limit.spread.median),
        );
    }
    out.push_str("</table>\n");
}

/// Percentiles against latency.
fn latencies(out: &mut String, rows: &[&Row]) {
    let curves: Vec<Curve> = rows
        .iter()
        .filter(|row| !row.distribution.is_empty())
        .map(|row| Curve {
            name: row.contender.clone(),
            // The further right, the rarer: 0, 1, 2, 3 nines.
            points: row
                .distribution
                .iter()
                .filter(|point| point.1 < 1.0)
                .map(|&(nanoseconds, share)| (-(1.0 - share).log10(), nanoseconds.max(1) as f64))
                .collect(),
        })
        .collect();
    let marks = [
        (0.0, "all"),
        (0.301, "50 %"),
        (1.0, "90 %"),
        (2.0, "99 %"),
        (3.0, "99.9 %"),
        (4.0, "99.99 %"),
    ];
    plot(
        out,
        "Latency in nanoseconds that so many exchanges did not exceed",
        &curves,
        &marks,
    );
}

/// Bytes a second against size.
fn sizes(out: &mut String, rows: &[&Row]) {
    let mut names: Vec<&str> = Vec::new();
    for row in rows.iter().filter(|row| row.unit == "ns per record") {
        if !names.contains(&row.contender.as_str()) {
            names.push(&row.contender);
        }
    }
    let mut curves = Vec::new();
    for name in names {
        let mut points: Vec<(f64, f64)> = rows
            .iter()
            .filter(|row| row.contender == name)
            .map(|row| ((row.size as f64).log2(), row.size as f64 / row.median * 1e3))
            .collect();
        points.sort_by(|one, other| one.0.total_cmp(&other.0));
        if points.len() > 1 {
            curves.push(Curve {
                name: name.to_owned(),
                points,
            });
        }
    }
    let marks = [
        (3.0, "8 B"),
        (6.0, "64 B"),
        (8.0, "256 B"),
        (10.0, "1 KiB"),
        (12.0, "4 KiB"),
        (14.0, "16 KiB"),
        (16.0, "64 KiB"),
    ];
    plot(
        out,
        "Throughput in MB/s against the size of records",
        &curves,
        &marks,
    );
}

struct Curve {
    name: String,
    points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 30.0;

/// Curves over marks on the horizontal axis; the vertical one is logarithmic.
fn plot(out: &mut String, title: &str, curves: &[Curve], marks: &[(f64, &str)]) {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    if points().count() == 0 {
        return;
    }
    let right = points().fold(f64::MIN, |most, point| most.max(point.0));
    let left = points()
        .fold(f64::MAX, |least, point| least.min(point.0))
        .min(marks[0].0.max(0.0));
    let low = points()
        .fold(f64::MAX, |least, point| least.min(point.1))
        .log10()
        .floor();
    let high = points()
        .fold(f64::MIN, |most, point| most.max(point.1))
        .log10()
        .ceil()
        .max(low + 1.0);
    let x = |value: f64| LEFT + (value - left) / (right - left).max(1e-9) * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM);
    let _ = writeln!(
        out,
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\"><text x=\"{LEFT}\" y=\"16\">{}</text>",
        escape(title)
    );
    let (from, to) = (LEFT, WIDTH - RIGHT);
    let mut decade = low;
    while decade <= high {
        let at = y(decade);
        let _ = writeln!(
            out,
            "<line class=\"grid\" x1=\"{from}\" x2=\"{to}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            at + 4.0,
            10_f64.powf(decade)
        );
        decade += 1.0;
    }
    for &(value, name) in marks.iter().filter(|mark| (left..=right).contains(&mark.0)) {
        let _ = writeln!(
            out,
            "<line class=\"grid\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{TOP}\" y2=\"{1}\"/><text x=\"{0:.1}\" y=\"{2}\" text-anchor=\"middle\">{name}</text>",
            x(value),
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM + 16.0
        );
    }
    for (number, curve) in curves.iter().enumerate() {
        let colour = format!("hsl({} 65% 42%)", number * 360 / curves.len());
        let path: Vec<String> = curve
            .points
            .iter()
            .map(|point| format!("{:.1},{:.1}", x(point.0), y(point.1.log10())))
            .collect();
        let key = TOP + 14.0 * number as f64;
        let _ = writeln!(
            out,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\" points=\"{}\"/>\
             <line x1=\"{1}\" x2=\"{2}\" y1=\"{key:.1}\" y2=\"{key:.1}\" stroke=\"{colour}\" stroke-width=\"3\"/>\
             <text x=\"{3}\" y=\"{4:.1}\">{5}</text>",
            path.join(" "),
            to + 14.0,
            to + 30.0,
            to + 36.0,
            key + 4.0,
            escape(&curve.name)
        );
    }
    out.push_str("</svg>\n");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::Sample;

    #[test]
    fn the_page_has_its_plots_and_escapes_names() {
        let mut rows = Vec::new();
        for size in [64, 1024] {
            let mut sample = Sample::default();
            sample.push(30.0, 20.0, 20.0);
            let mut row = sample.row(Work::W2, "<ring>", "limit");
            row.size = size;
            "ns per record".clone_into(&mut row.unit);
            row.distribution = vec![(100, 0.5), (200, 0.99), (900, 1.0)];
            rows.push(row);
        }
        let page = page(&rows);
        assert_eq!(page.matches("<svg").count(), 2, "{page}");
        assert!(
            !page.contains("<ring>") && page.contains("&lt;ring&gt;"),
            "{page}"
        );
        assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
        assert!(!page.contains("http"), "{page}");
    }
}
