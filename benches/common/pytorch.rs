//! The same in PyTorch, in a process of its own.

use std::process::Command;

/// The figures that a script of this folder prints, a line each; nothing, and a word why, where PyTorch is not installed.
pub fn pytorch<const N: usize>(script: &str, numbers: [usize; N]) -> Option<Vec<f64>> {
    let script = format!("{}/benches/{script}", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new("python3").arg(script).args(numbers.map(|number| number.to_string())).output().ok();
    let figures = output.filter(|output| output.status.success()).and_then(|output| {
        let lines = String::from_utf8(output.stdout).ok()?;
        Some(lines.lines().filter_map(|line| line.parse().ok()).collect())
    });
    if figures.is_none() {
        println!("  PyTorch is not installed here (python3 -c 'import torch')");
    }
    figures
}
