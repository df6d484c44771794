//! The two lists: tasks and checkpoints.

use super::{Pane, Subject};
use crate::text::bytes;
use crate::tui::hit::Target;
use crate::tui::model::Model;
use crate::tui::view_cx::Cx;
use crate::tui::widgets::pane::pane;
use crate::tui::widgets::table::{Cell, Column, Table};
use ratatui::layout::Rect;

/// Names of the lists, for the mouse.
pub const TASKS: &str = "browse.tasks";
pub const CHECKPOINTS: &str = "browse.checkpoints";

/// Chooses what stands in the row that was clicked.
pub fn choose(model: &mut Model, list: &str, row: usize) {
    if list == TASKS {
        if let Some(&task) = model.browse.shown_tasks(&model.catalog).get(row) {
            model.browse.choose_task(task);
        }
    } else if list == CHECKPOINTS {
        if let Some(&checkpoint) = model.browse.shown_checkpoints(&model.catalog).get(row) {
            model.browse.checkpoint = checkpoint;
        }
    } else if list == super::checkpoint::TREE {
        super::checkpoint::choose(model, row);
    }
}

pub fn tasks(model: &Model, area: Rect, cx: &mut Cx<'_>) {
    let shown = model.browse.shown_tasks(&model.catalog);
    let columns = [Column::left("", 9).shrinks_to(6), Column::right("", 5)];
    let row = |&at: &usize| {
        let task = &model.catalog.tasks[at];
        let expert = model.catalog.expert(&task.id, model.browse.split);
        let accuracy = expert.map_or_else(String::new, |share| format!("{:.1} %", share * 100.0));
        vec![Cell::new(task.id.clone()), Cell::styled(accuracy, cx.theme.expert)]
    };
    let rows: Vec<_> = shown.iter().map(row).collect();
    let list = List {
        name: TASKS,
        title: "Tasks",
        columns: &columns,
        rows: &rows,
        selected: shown.iter().position(|&at| at == model.browse.task),
        all: model.catalog.tasks.len(),
        filter: &model.browse.task_filter,
        focused: model.browse.focus == Pane::Tasks,
        current: model.browse.subject == Subject::Task,
    };
    list.draw(area, cx, "This zoo has no tasks.");
}

pub fn checkpoints(model: &Model, area: Rect, cx: &mut Cx<'_>) {
    let shown = model.browse.shown_checkpoints(&model.catalog);
    let pool = crate::tui::screens::tune::experts(model);
    let columns = [Column::left("", 8), Column::left("", 9).shrinks_to(6), Column::right("", 5)];
    let row = |&at: &usize| {
        let facts = &model.catalog.checkpoints[at];
        let mark = match (facts.is_base, pool.contains(&facts.name)) {
            (true, _) => cx.symbol("◇", "o"),
            (false, true) => cx.symbol("✓", "x"),
            (false, false) => cx.symbol("·", "-"),
        };
        vec![Cell::styled(mark, cx.theme.accent), Cell::new(facts.name.clone()), Cell::new(bytes(facts.bytes as u64))]
    };
    let rows: Vec<_> = shown.iter().map(row).collect();
    let list = List {
        name: CHECKPOINTS,
        title: "Checkpoints",
        columns: &columns,
        rows: &rows,
        selected: shown.iter().position(|&at| at == model.browse.checkpoint),
        all: model.catalog.checkpoints.len(),
        filter: &model.browse.checkpoint_filter,
        focused: model.browse.focus == Pane::Checkpoints,
        current: model.browse.subject == Subject::Checkpoint,
    };
    list.draw(area, cx, "This zoo has no checkpoints.");
}

struct List<'a> {
    name: &'static str,
    title: &'a str,
    columns: &'a [Column],
    rows: &'a [Vec<Cell>],
    selected: Option<usize>,
    /// Entries without the filter.
    all: usize,
    filter: &'a str,
    focused: bool,
    /// Whether the details are about this list's entry.
    current: bool,
}

impl List<'_> {
    fn draw(&self, area: Rect, cx: &mut Cx<'_>, empty: &str) {
        cx.hits.add(area, Target::Pane(self.name));
        let title = if self.filter.is_empty() {
            format!("{} {}", self.title, self.all)
        } else {
            format!("{} {}/{} /{}", self.title, self.rows.len(), self.all, self.filter)
        };
        let inner = pane(cx, area, &title, self.focused);
        if self.rows.is_empty() {
            let text = if self.all == 0 { empty } else { "Nothing matches; / changes the filter." };
            cx.print(inner.x, inner.y, inner.width, text, cx.theme.dim);
            return;
        }
        let selected = self.selected.filter(|_| self.focused || self.current);
        let table = Table { name: self.name, columns: self.columns, rows: self.rows, selected, focused: self.focused };
        table.draw(inner, cx);
    }
}
