//! The plot: how many times as good as each alternative this project is.

use std::fmt::Write as _;

use crate::programs::System;
use crate::report::{Figure, number};

/// Pixels.
const LABELS: f64 = 470.0;
const WIDTH: f64 = 390.0;
const ROW: f64 = 22.0;
const TOP: f64 = 56.0;
/// The range of the axis, in powers of ten. What is beyond is drawn at its end.
const RANGE: (f64, f64) = (-1.0, 2.0);

/// Colors that are legible on white and on black.
const SYSTEMS: [(System, &str); 4] = [
    (System::Node, "#3fa34d"),
    (System::Colyseus, "#9b6bdf"),
    (System::Bare, "#d9822b"),
    (System::Floor, "#8a8a8a"),
];

pub fn svg(figures: &[Figure]) -> String {
    let compared = |figure: &&Figure| SYSTEMS.iter().any(|(of, _)| figure.ratio(*of).is_some());
    let figures: Vec<&Figure> = figures.iter().filter(compared).collect();
    let bottom = TOP + ROW * figures.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" \
         font-family=\"sans-serif\" font-size=\"12\" fill=\"#808080\">\n",
        LABELS + WIDTH + 30.0,
        bottom + 12.0
    );
    for (at, (system, color)) in SYSTEMS.iter().enumerate() {
        let x = LABELS + at as f64 * 110.0 - 40.0;
        let _ = writeln!(svg, "<circle cx=\"{x:.0}\" cy=\"12\" r=\"5\" fill=\"{color}\"/>");
        let _ = writeln!(svg, "<text x=\"{:.0}\" y=\"16\">{}</text>", x + 9.0, short(*system));
    }
    for (ratio, label) in
        [(0.1, "0.1"), (1.0, "this project"), (10.0, "10 × worse"), (100.0, "100 ×")]
    {
        let (x, width) = (x(ratio), if ratio == 1.0 { 2 } else { 1 });
        let _ = writeln!(svg, "<text x=\"{x:.0}\" y=\"42\" text-anchor=\"middle\">{label}</text>");
        let _ = writeln!(
            svg,
            "<path d=\"M{x:.0} {:.0}V{bottom:.0}\" stroke=\"#808080\" stroke-width=\"{width}\"/>",
            TOP - 8.0
        );
    }
    for (at, figure) in figures.iter().enumerate() {
        let y = TOP + ROW * (at as f64 + 0.5);
        let (end, label) = (LABELS - 8.0, &figure.title);
        let _ = writeln!(
            svg,
            "<text x=\"{end:.0}\" y=\"{:.0}\" text-anchor=\"end\">{label}</text>",
            y + 4.0
        );
        for (system, color) in SYSTEMS {
            let Some(ratio) = figure.ratio(system) else { continue };
            let better = if figure.more_is_better { 1.0 / ratio } else { ratio };
            let _ = writeln!(
                svg,
                "<circle cx=\"{:.0}\" cy=\"{y:.0}\" r=\"5\" fill=\"{color}\"><title>{}: this project is \
                 {} × as good</title></circle>",
                x(better),
                system.name(),
                number(better)
            );
        }
    }
    svg + "</svg>\n"
}

fn x(ratio: f64) -> f64 {
    let (low, high) = RANGE;
    LABELS + WIDTH * (ratio.log10().clamp(low, high) - low) / (high - low)
}

fn short(system: System) -> &'static str {
    match system {
        System::Node => "Node",
        System::Bare => "socketioxide",
        other => other.name(),
    }
}
