//! Tables of finished strings as Markdown, CSV and LaTeX.

use crate::text::printable;
use std::fmt::Write;

/// A header and rows; numbers are formatted by whoever made them. Short rows are filled up with empty cells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    pub header: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// The columns that hold numbers only and are therefore set flush right.
    fn numeric(&self) -> Vec<bool> {
        let is_number = |cell: &str| {
            let bare = cell.trim_matches(['*', '%', '±', '+', '-', '−', '–', ' ']);
            bare.is_empty() || bare.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        };
        let column = |at: usize| self.rows.iter().map(move |row| row.get(at).map_or("", String::as_str));
        (0..self.header.len()).map(|at| !self.rows.is_empty() && column(at).all(is_number)).collect()
    }

    fn cells<'a>(&'a self, row: &'a [String]) -> impl Iterator<Item = &'a str> {
        (0..self.header.len()).map(|at| row.get(at).map_or("", String::as_str))
    }

    fn lines(&self) -> impl Iterator<Item = Vec<&str>> {
        std::iter::once(&self.header).chain(&self.rows).map(|row| self.cells(row).collect())
    }
}

/// A pipe table with aligned columns, as GitHub renders it.
#[must_use]
pub fn markdown(table: &Table) -> String {
    use unicode_width::UnicodeWidthStr;
    // Pipes end a cell and backslashes would escape ours; a line break would end the row.
    let escape = |cell: &str| printable(cell).replace('\\', "\\\\").replace('|', "\\|");
    let lines: Vec<Vec<String>> = table.lines().map(|line| line.into_iter().map(escape).collect()).collect();
    let width = |at: usize| lines.iter().map(|line| line[at].width()).max().unwrap_or(0).max(3);
    let widths: Vec<usize> = (0..table.header.len()).map(width).collect();
    let numeric = table.numeric();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        for ((cell, &width), &right) in line.iter().zip(&widths).zip(&numeric) {
            let fill = " ".repeat(width - cell.width());
            let _ = if right { write!(text, "| {fill}{cell} ") } else { write!(text, "| {cell}{fill} ") };
        }
        text.push_str("|\n");
        if number == 0 {
            for (&width, &right) in widths.iter().zip(&numeric) {
                let rule = "-".repeat(if right { width - 1 } else { width });
                let _ = if right { write!(text, "| {rule}: ") } else { write!(text, "| {rule} ") };
            }
            text.push_str("|\n");
        }
    }
    text
}

/// Comma-separated values as RFC 4180 has them: CRLF, quotes where needed. Cells are not changed.
#[must_use]
pub fn csv(table: &Table) -> String {
    let quote = |cell: &str| {
        if cell.contains([',', '"', '\r', '\n']) || cell != cell.trim() {
            format!("\"{}\"", cell.replace('"', "\"\""))
        } else {
            cell.to_owned()
        }
    };
    table.lines().map(|line| line.into_iter().map(quote).collect::<Vec<_>>().join(",") + "\r\n").collect()
}

/// A `tabular` with the rules of the package booktabs.
#[must_use]
pub fn latex(table: &Table) -> String {
    let columns: String = table.numeric().iter().map(|&right| if right { 'r' } else { 'l' }).collect();
    let mut text = format!("\\begin{{tabular}}{{{columns}}}\n\\toprule\n");
    for (number, line) in table.lines().enumerate() {
        let cells: Vec<_> = line.into_iter().map(escape_latex).collect();
        let _ = writeln!(text, "{} \\\\", cells.join(" & "));
        if number == 0 {
            text.push_str("\\midrule\n");
        }
    }
    text.push_str("\\bottomrule\n\\end{tabular}\n");
    text
}

fn escape_latex(cell: &str) -> String {
    let mut escaped = String::with_capacity(cell.len());
    for c in printable(cell).chars() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => escaped.extend(['\\', c]),
            '~' => escaped.push_str("\\textasciitilde{}"),
            '^' => escaped.push_str("\\textasciicircum{}"),
            '\\' => escaped.push_str("\\textbackslash{}"),
            '<' => escaped.push_str("\\textless{}"),
            '>' => escaped.push_str("\\textgreater{}"),
            'λ' => escaped.push_str("$\\lambda$"),
            'τ' => escaped.push_str("$\\tau$"),
            'θ' => escaped.push_str("$\\theta$"),
            'Σ' => escaped.push_str("$\\Sigma$"),
            'Δ' => escaped.push_str("$\\Delta$"),
            '−' => escaped.push_str("$-$"),
            '×' => escaped.push_str("$\\times$"),
            '±' => escaped.push_str("$\\pm$"),
            '–' => escaped.push_str("--"),
            '\u{fffd}' => escaped.push('?'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(header: &[&str], rows: &[&[&str]]) -> Table {
        let owned = |row: &[&str]| row.iter().map(ToString::to_string).collect::<Vec<_>>();
        Table { header: owned(header), rows: rows.iter().map(|row| owned(row)).collect() }
    }

    #[test]
    fn markdown_is_aligned_and_escaped() {
        let table = table(&["method", "average"], &[&["task|arithmetic λ=0.4", "61.3"], &["TIES"]]);
        let expected = "\
| method                 | average |
| ---------------------- | ------: |
| task\\|arithmetic λ=0.4 |    61.3 |
| TIES                   |         |
";
        assert_eq!(markdown(&table), expected);
    }

    #[test]
    fn csv_follows_rfc_4180() {
        let table = table(&["label", "note"], &[&["a,b", "say \"hi\""], &["two\nlines", "λ"], &[" kept ", ""]]);
        assert_eq!(csv(&table), "label,note\r\n\"a,b\",\"say \"\"hi\"\"\"\r\n\"two\nlines\",λ\r\n\" kept \",\r\n");
    }

    #[test]
    fn latex_has_rules_and_escapes() {
        let table = table(&["run", "Δ"], &[&["50% & a_b ~ \\x", "−1.2"], &["{λ}", "+0.3"]]);
        let expected = "\
\\begin{tabular}{lr}
\\toprule
run & $\\Delta$ \\\\
\\midrule
50\\% \\& a\\_b \\textasciitilde{} \\textbackslash{}x & $-$1.2 \\\\
\\{$\\lambda$\\} & +0.3 \\\\
\\bottomrule
\\end{tabular}
";
        assert_eq!(latex(&table), expected);
    }

    #[test]
    fn hostile_cells_stay_in_their_cell() {
        let hostile = table(&["a", "b"], &[&["x\n| y |\x1b[2J", "1"]]);
        assert_eq!(markdown(&hostile).lines().count(), 3);
        assert!(!markdown(&hostile).contains('\x1b'));
        assert!(!latex(&hostile).contains('\x1b'));
    }
}
