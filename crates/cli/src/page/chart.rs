//! Charts as SVG. Each is drawn twice, for narrow screens and for wide ones, since text in an SVG shrinks with it.

use std::ops::Range;

use jiff::tz::TimeZone;
use plotters::chart::ChartBuilder;
use plotters::drawing::{DrawingArea, IntoDrawingArea as _};
use plotters::element::{PathElement, Rectangle, Text};
use plotters::prelude::SVGBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color as _, IntoFont as _, RGBColor, TextStyle};

use super::timeline::Timeline;
use crate::Failure;
use crate::report::thousands;

/// What draws; styles of the page give these colours their value in light and dark.
const INK: RGBColor = RGBColor(0, 0, 1);
const LINE: RGBColor = RGBColor(0, 0, 2);
const BAR: RGBColor = RGBColor(0, 0, 3);
const LIMIT: RGBColor = RGBColor(0, 0, 4);

/// The width in pixels, the number of stretches of time, and that of their labels.
const SIZES: [(&str, u32, usize, usize); 2] = [("narrow", 320, 24, 3), ("wide", 640, 60, 6)];
/// The size of text. SVG gets it divided by 1.24.
const TEXT: u32 = 16;

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// Draws a chart in both sizes. `label` describes it to those who do not see it.
fn drawn(
    height: u32,
    label: &str,
    draw: impl Fn(&Area<'_>, usize, usize) -> Result<(), Box<dyn std::error::Error>>,
) -> Result<String, Failure> {
    let mut both = String::new();
    for (class, width, stretches, labels) in SIZES {
        let mut svg = String::new();
        let area = SVGBackend::with_string(&mut svg, (width, height)).into_drawing_area();
        draw(&area, stretches, labels)
            .and_then(|()| Ok(area.present()?))
            .map_err(|error| Failure(error.to_string()))?;
        drop(area);
        // Its first line has a fixed size.
        let shapes = svg.split_once('\n').map_or("", |(_, shapes)| shapes);
        both.push_str(&format!(
            "<svg class=\"{class}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">\n{shapes}",
            super::escaped(label)
        ));
    }
    Ok(both)
}

fn text() -> TextStyle<'static> {
    ("sans-serif", TEXT).into_font().color(&INK)
}

/// A bar for each stage: its target, and how many of the groups reached it.
pub(super) fn stages(stages: &[(String, u64)], groups: u64) -> Result<String, Failure> {
    let percent = |reached: u64| reached as f64 * 100.0 / groups.max(1) as f64;
    let words = |reached: u64| format!("{}, {:.1}%", thousands(reached), percent(reached));
    let label =
        stages.iter().map(|(target, reached)| format!("{target}: {}", words(*reached))).collect::<Vec<_>>().join("; ");
    let longest = stages.iter().map(|(target, _)| target.chars().count()).max().unwrap_or(0) as u32;
    let height = 26 * stages.len() as u32 + 4;
    drawn(height, &format!("Groups that reached each target. {label}"), |area, _, _| {
        let width = f64::from(area.dim_in_pixel().0);
        // The targets are before the bars, and there is room for the numbers after the longest one.
        let before = 9.0 * f64::from(longest.min(20)) + 10.0;
        let groups_a_pixel = groups.max(1) as f64 / (width - before - 140.0).max(40.0);
        let x = -before * groups_a_pixel..(width - before) * groups_a_pixel;
        let mut chart = ChartBuilder::on(area).margin(2).build_cartesian_2d(x, stages.len() as f64..0.0)?;
        for (row, (target, reached)) in (0..).map(f64::from).zip(stages) {
            let (end, middle) = (*reached as f64, row + 0.5);
            chart.draw_series([Rectangle::new([(0.0, row + 0.2), (end, row + 0.8)], BAR.filled())])?;
            let words = [
                (target.clone(), -8.0 * groups_a_pixel, HPos::Right),
                (words(*reached), end + 8.0 * groups_a_pixel, HPos::Left),
            ];
            chart.draw_series(
                words.map(|(words, at, side)| Text::new(words, (at, middle), text().pos(Pos::new(side, VPos::Center)))),
            )?;
        }
        chart.draw_series([PathElement::new([(0.0, 0.0), (0.0, stages.len() as f64)], LINE)])?;
        Ok(())
    })
}

/// How often something happened, over time.
pub(super) fn over_time(timeline: &Timeline, what: &str, is_limit: bool, zone: &TimeZone) -> Result<String, Failure> {
    let color = if is_limit { LIMIT } else { BAR };
    let label = format!("{what} over time, {} in total", thousands(timeline.total()));
    drawn(150, &label, |area, stretches, labels| {
        let Some((start, length, counts)) = timeline.stretches(stretches) else { return Ok(()) };
        let most = counts.iter().copied().max().unwrap_or(1).max(1);
        // Few stretches get no broader bars than many.
        let columns = counts.len().max(stretches / 3);
        let range: Range<i32> = 0..i32::try_from(columns)?;
        let widest = thousands(most).len() as u32;
        let mut chart = ChartBuilder::on(area)
            .margin(4)
            .margin_right(24)
            .y_label_area_size(9 * widest.max(2) + 10)
            .x_label_area_size(26)
            .build_cartesian_2d(range, 0.0..most as f64 * 1.05)?;
        let span = length.saturating_mul(columns as i64);
        let time = |stretch: &i32| moment(start.saturating_add(length.saturating_mul((*stretch).into())), span, zone);
        // Only whole numbers happen.
        let number = |value: &f64| if value.fract() == 0.0 { thousands(*value as u64) } else { String::new() };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(plotters::style::TRANSPARENT)
            .bold_line_style(LINE)
            .axis_style(LINE)
            .x_labels(labels)
            .x_label_formatter(&time)
            .x_label_style(text())
            .y_labels(3)
            .y_label_formatter(&number)
            .y_label_style(text())
            .draw()?;
        let bars = (0..).zip(&counts).filter(|(_, count)| **count > 0).map(|(at, count)| {
            let mut bar = Rectangle::new([(at, 0.0), (at + 1, *count as f64)], color.filled());
            bar.set_margin(0, 0, 0, 1);
            bar
        });
        chart.draw_series(bars)?;
        Ok(())
    })
}

/// A moment below a chart that covers `span` seconds.
fn moment(seconds: i64, span: i64, zone: &TimeZone) -> String {
    const DAY: i64 = 86_400;
    let Ok(moment) = jiff::Timestamp::from_second(seconds) else { return String::new() };
    let form = match span {
        ..120 => "%H:%M:%S",
        120..DAY => "%H:%M",
        _ if span < 300 * DAY => "%b %-d",
        _ => "%Y-%m",
    };
    zone.to_datetime(moment).strftime(form).to_string()
}
