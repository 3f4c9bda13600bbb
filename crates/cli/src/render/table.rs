//! Columns that line up.

use crate::style;

/// Rows of cells that line up; the last column is as long as it is.
#[derive(Debug, Default)]
pub(crate) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<Cell>>,
    indent: usize,
}

#[derive(Debug)]
struct Cell {
    text: String,
    paint: Option<fn(&str) -> String>,
}

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        Self { head: head.iter().map(|&title| title.to_owned()).collect(), rows: Vec::new(), indent: 2 }
    }

    /// Sets how far it is moved to the right.
    pub(crate) fn indented(mut self, indent: usize) -> Self {
        self.indent = indent;
        self
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        self.rows.push(cells.into_iter().map(|text| Cell { text: text.into(), paint: None }).collect());
    }

    /// Changes how a cell of the last row looks.
    pub(crate) fn paint(&mut self, column: usize, paint: fn(&str) -> String) {
        if let Some(cell) = self.rows.last_mut().and_then(|row| row.get_mut(column)) {
            cell.paint = Some(paint);
        }
    }

    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).chain([self.head.len()]).max().unwrap_or(0);
        let width = |column: usize| {
            let cells =
                self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.text.chars().count());
            cells.chain(self.head.get(column).map(|title| title.chars().count())).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        if self.head.iter().any(|title| !title.is_empty()) {
            let titles = self
                .head
                .iter()
                .map(|title| (title.as_str(), Some((|title| style::faint(title)) as fn(&str) -> String)));
            line(&mut text, self.indent, &widths, titles);
        }
        for row in &self.rows {
            line(&mut text, self.indent, &widths, row.iter().map(|cell| (cell.text.as_str(), cell.paint)));
        }
        text
    }
}

fn line<'c>(
    text: &mut String,
    indent: usize,
    widths: &[usize],
    cells: impl Iterator<Item = (&'c str, Option<fn(&str) -> String>)>,
) {
    let mut gap = indent;
    for ((cell, paint), width) in cells.zip(widths) {
        // Spaces are only written in front of something, so that no line ends with them.
        if !cell.is_empty() {
            text.push_str(&" ".repeat(gap));
            text.push_str(&paint.map_or_else(|| cell.to_owned(), |paint| paint(cell)));
            gap = 0;
        }
        gap += width - cell.chars().count() + 2;
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::Table;

    #[test]
    fn columns_line_up_and_no_line_ends_with_spaces() {
        let mut table = Table::new(&["SERVICE", "HEALTHY", "IMAGE"]);
        table.row(["web", "3/3", "shop/web:1"]);
        table.row(["backend", "", ""]);
        table.row(["x", "", "y"]);
        let shown = strip_str(&table.render()).to_string();
        assert_eq!(
            shown,
            "  SERVICE  HEALTHY  IMAGE\n  web      3/3      shop/web:1\n  backend\n  x                 y\n"
        );
    }
}
