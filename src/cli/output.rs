//! Standard output: lines, JSON, aligned tables. A reader that goes away ends the program quietly.

use super::error::CliError;
use serde::Serialize;
use std::io::{self, Write};
use unicode_width::UnicodeWidthStr;

/// Prints to stderr; whoever closed it does not want to know.
pub fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints one line.
pub fn line(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| CliError::stdout(&error))
}

/// Prints text that already ends its lines.
pub fn raw(bytes: &[u8]) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| CliError::stdout(&error))
}

/// Prints a value as indented JSON.
pub fn json(value: &impl Serialize) -> Result<(), CliError> {
    line(&to_json(value, true)?)
}

/// Prints a value as JSON on one line.
pub fn json_line(value: &impl Serialize) -> Result<(), CliError> {
    line(&to_json(value, false)?)
}

fn to_json(value: &impl Serialize, pretty: bool) -> Result<String, CliError> {
    if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) }
        .map_err(|error| CliError::failure(format!("cannot express the result as JSON: {error}")))
}

/// Rows of cells in aligned columns: text to the left, what looks like a number to the right.
#[derive(Debug, Default)]
pub struct Columns {
    rows: Vec<Vec<String>>,
}

impl Columns {
    #[must_use]
    pub fn with_header<const N: usize>(header: [&str; N]) -> Self {
        Self { rows: vec![header.map(str::to_owned).to_vec()] }
    }

    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }

    /// A row of as many cells as there are.
    pub fn cells(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// An empty line.
    pub fn gap(&mut self) {
        self.rows.push(Vec::new());
    }

    #[must_use]
    pub fn render(&self) -> String {
        let count = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cells = |column: usize| self.rows.iter().filter_map(move |row| row.get(column));
        let widths: Vec<usize> = (0..count).map(|c| cells(c).map(|cell| cell.width()).max().unwrap_or(0)).collect();
        let numeric: Vec<bool> = (0..count).map(|c| cells(c).skip(1).any(|cell| is_number(cell))).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let padding = " ".repeat(widths[column] - cell.width());
                let gap = if column == 0 { "" } else { "  " };
                let (before, after) = if numeric[column] { (padding.as_str(), "") } else { ("", padding.as_str()) };
                line.extend([gap, before, cell, after]);
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    pub fn print(&self) -> Result<(), CliError> {
        raw(self.render().as_bytes())
    }
}

fn is_number(cell: &str) -> bool {
    let plain = cell.trim_start_matches(['+', '-', '−']);
    plain.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_by_display_width() {
        let mut columns = Columns::with_header(["task", "λ", "note"]);
        columns.row(["mnist".to_owned(), "9.5".to_owned(), "a".to_owned()]);
        columns.row(["文字".to_owned(), "−10.0".to_owned(), String::new()]);
        assert_eq!(columns.render(), "task       λ  note\nmnist    9.5  a\n文字   −10.0\n");
    }
}
