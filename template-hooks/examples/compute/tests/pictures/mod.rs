//! What a picture must look like.

use app::messages::View;

/// All of the Mandelbrot set.
pub fn whole() -> View {
    View { x: -0.7, y: 0.0, across: 3.6, columns: 48, rows: 32, depth: 100 }
}

/// After how many steps each point of a row escapes, as simple as it can be; 0: it does not.
fn steps(view: &View, row: u32) -> Vec<u32> {
    let step = view.across / f64::from(view.columns);
    let y = view.y + (f64::from(row) + 0.5 - f64::from(view.rows) / 2.0) * step;
    let column = |column: u32| {
        let x = view.x + (f64::from(column) + 0.5 - f64::from(view.columns) / 2.0) * step;
        let (mut a, mut b) = (0.0, 0.0);
        let escapes = (1..=view.depth).find(|_| {
            (a, b) = (a * a - b * b + x, 2.0 * a * b + y);
            a * a + b * b > 256.0 * 256.0
        });
        escapes.unwrap_or(0)
    };
    (0..view.columns).map(column).collect()
}

/// Fails unless the shades are those of a row: ordered by steps, and 0 for points in the set.
pub fn check(view: &View, row: u32, shades: &str) {
    let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let number = |letter: char| letters.find(letter).expect("a letter of a shade");
    let letters: Vec<usize> = shades.chars().map(number).collect();
    let shades = letters.chunks(2).map(|pair| pair[0] * 64 + pair[1]);
    let steps = steps(view, row);
    assert_eq!(shades.len(), steps.len(), "row {row}");
    for (shade, steps) in shades.zip(steps) {
        // 256 for each doubling, and a part of a step is worth something as well.
        let from = |steps: u32| (256.0 * f64::from(steps.max(1)).log2()) as usize;
        let good = match steps {
            0 => shade == 0,
            _ => shade >= 1 && (from(steps.saturating_sub(3))..=from(steps)).contains(&(shade - 1)),
        };
        assert!(good, "row {row}: {shade} after {steps} steps");
    }
}
