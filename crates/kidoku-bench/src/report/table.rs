//! Tables, for terminals and as Markdown.

/// Cells under a head. The first columns are words and stand to the left, figures to the right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) title: String,
    pub(crate) head: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
    /// How many columns are words.
    pub(crate) words: usize,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(title: impl Into<String>, words: usize, head: &[&str]) -> Self {
        Self {
            title: title.into(),
            head: head.iter().map(ToString::to_string).collect(),
            rows: Vec::new(),
            words,
        }
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// With columns under each other.
    pub(crate) fn text(&self) -> String {
        let widths = self.widths();
        let mut text = self.line(&self.head, &widths);
        text.push_str(&format!(
            "{}\n",
            "-".repeat(text.trim_end().chars().count())
        ));
        for row in &self.rows {
            text.push_str(&self.line(row, &widths));
        }
        text
    }

    fn widths(&self) -> Vec<usize> {
        let width = |column: usize| {
            let cells = self.rows.iter().chain([&self.head]);
            cells
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        (0..self.head.len()).map(width).collect()
    }

    fn line(&self, cells: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
            if column > 0 {
                line.push_str("  ");
            }
            if column < self.words {
                line.push_str(&format!("{cell:<width$}"));
            } else {
                line.push_str(&format!("{cell:>width$}"));
            }
        }
        format!("{}\n", line.trim_end())
    }

    /// As Markdown has it.
    pub(crate) fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let rule: Vec<String> = (0..self.head.len())
            .map(|column| if column < self.words { "---" } else { "---:" }.to_owned())
            .collect();
        let mut text = line(&self.head) + &line(&rule).replace(' ', "");
        for row in &self.rows {
            let safe: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
            text.push_str(&line(&safe));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new("x", 1, &["server", "rate"]);
        table.push(vec!["a|b".to_owned(), "12".to_owned()]);
        table.push(vec!["redis µ".to_owned(), "1,234".to_owned()]);
        table
    }

    #[test]
    fn words_stand_to_the_left_and_figures_to_the_right() {
        let expected = "server    rate\n--------------\na|b         12\nredis µ  1,234\n";
        assert_eq!(table().text(), expected);
    }

    #[test]
    fn a_bar_in_a_cell_is_no_column_of_markdown() {
        let expected = "| server | rate |\n|---|---:|\n| a\\|b | 12 |\n| redis µ | 1,234 |\n";
        assert_eq!(table().markdown(), expected);
    }
}
