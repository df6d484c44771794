//! Whom the routers of a mixture ask: each task's images by expert, and each layer's share for the task's own expert.

use crate::fusion::layer;
use crate::tui::runs::Routing;
use crate::tui::view_cx::Cx;
use crate::tui::widgets::heatmap::Heatmap;
use crate::tui::widgets::text::{line, row};
use ratatui::layout::Rect;

/// From this width on both maps stand side by side.
const BESIDE: u16 = 90;

/// Rows that both maps take, one above the other.
#[must_use]
pub fn height(routing: &Routing) -> u16 {
    by_task(routing) + layers(routing, usize::MAX).0.len() as u16 + 3
}

fn by_task(routing: &Routing) -> u16 {
    routing.tasks.len() as u16 + 3
}

/// Draws as much as fits, the tasks first.
pub fn view(routing: &Routing, area: Rect, cx: &mut Cx<'_>) {
    let upper = by_task(routing);
    if area.width >= BESIDE && routing.tasks.len() > 1 {
        let left = Rect { width: area.width / 2, ..area };
        tasks(routing, left, cx);
        own(routing, Rect { x: left.right() + 1, width: area.width - left.width - 1, ..area }, cx);
    } else {
        tasks(routing, Rect { height: area.height.min(upper), ..area }, cx);
        own(
            routing,
            Rect { y: area.y + upper.min(area.height), height: area.height.saturating_sub(upper), ..area },
            cx,
        );
    }
}

/// Tasks by experts, means over the places.
fn tasks(routing: &Routing, area: Rect, cx: &mut Cx<'_>) {
    if area.height < 4 {
        return;
    }
    line(cx, row(area, 0), "whom the routers ask: a task's images (rows) by expert", cx.theme.dim);
    let names: Vec<String> = routing.tasks.iter().map(|(task, _)| task.clone()).collect();
    let values: Vec<Vec<f64>> = routing.tasks.iter().map(|(_, weights)| mean(weights.iter().collect())).collect();
    map(&names, &routing.experts, &values, "routing.tasks", area, cx);
}

/// Layers by tasks: what the task's own expert is given. Single layers where they fit, blocks where they do not.
fn own(routing: &Routing, area: Rect, cx: &mut Cx<'_>) {
    if area.height < 4 {
        return;
    }
    line(cx, row(area, 0), "share of the task's own expert, by layer", cx.theme.dim);
    let names: Vec<String> = routing.tasks.iter().map(|(task, _)| task.clone()).collect();
    let (rows, values) = layers(routing, usize::from(area.height - 3));
    map(&rows, &names, &values, "routing.layers", area, cx);
}

fn map(rows: &[String], columns: &[String], values: &[Vec<f64>], name: &'static str, area: Rect, cx: &mut Cx<'_>) {
    let all = || values.iter().flatten().copied().filter(|x| x.is_finite());
    let range = all().fold((0.0f64, 1.0f64), |(low, high), x| (low.min(x), high.max(x)));
    let below = Rect { y: area.y + 1, height: area.height - 1, ..area };
    Heatmap { name, rows, columns, values, range, selected: None }.draw(below, cx);
}

/// Names and `[layer][task]`, in at most `room` rows if blocks as wholes are few enough for that.
fn layers(routing: &Routing, room: usize) -> (Vec<String>, Vec<Vec<f64>>) {
    let whole = routing.places.len() > room;
    let mut rows: Vec<(String, Vec<usize>)> = Vec::new();
    for (at, place) in routing.places.iter().enumerate() {
        let name = if whole { block(place) } else { short(place) };
        match rows.iter_mut().find(|(known, _)| *known == name) {
            Some((_, places)) => places.push(at),
            None => rows.push((name, vec![at])),
        }
    }
    let value = |places: &[usize], (task, weights): &(String, Vec<Vec<f64>>)| {
        let Some(expert) = routing.experts.iter().position(|expert| expert == task) else { return f64::NAN };
        let found = places.iter().filter_map(|&place| weights.get(place)?.get(expert));
        found.sum::<f64>() / places.len() as f64
    };
    rows.into_iter()
        .map(|(name, places)| (name, routing.tasks.iter().map(|task| value(&places, task)).collect()))
        .unzip()
}

/// `encoder.layers.3.self_attn.q_proj` → `3.q_proj`
fn short(place: &str) -> String {
    let last = place.rsplit('.').next().unwrap_or(place);
    layer(place).map_or_else(|| last.to_owned(), |(_, number, _)| format!("{number}.{last}"))
}

fn block(place: &str) -> String {
    layer(place).map_or_else(|| short(place), |(_, number, _)| format!("block {number}"))
}

fn mean(rows: Vec<&Vec<f64>>) -> Vec<f64> {
    let width = rows.first().map_or(0, |row| row.len());
    let column = |at: usize| rows.iter().filter_map(|row| row.get(at)).sum::<f64>() / rows.len().max(1) as f64;
    (0..width).map(column).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routing() -> Routing {
        let places = ["encoder.layers.0.self_attn.q_proj", "encoder.layers.0.mlp", "encoder.layers.1.mlp"];
        let task =
            |name: &str, own: f64| (name.to_owned(), vec![vec![own, 1.0 - own], vec![0.5, 0.5], vec![1.0 - own, own]]);
        Routing {
            places: places.map(str::to_owned).to_vec(),
            experts: vec!["a".into(), "b".into()],
            tasks: vec![task("a", 0.75), task("c", 0.25)],
        }
    }

    #[test]
    fn layers_are_put_together_where_they_do_not_fit() {
        let (rows, values) = layers(&routing(), 3);
        assert_eq!(rows, ["0.q_proj", "0.mlp", "1.mlp"]);
        assert_eq!([values[0][0], values[1][0], values[2][0]], [0.75, 0.5, 0.25]);
        assert!(values[0][1].is_nan(), "a task without an expert has no own share");
        let (rows, values) = layers(&routing(), 2);
        assert_eq!(rows.len(), 2);
        assert_eq!([values[0][0], values[1][0]], [0.625, 0.25]);
    }

    #[test]
    fn no_size_panics() {
        use crate::tui::testing::{draw_with, theme};
        use crate::tui::view_cx::Charset;
        for width in [0, 1, 7, 20, 50, 89, 90, 200] {
            for height in 0..16 {
                draw_with(width, height, Charset::Box, &theme(), |area, cx| view(&routing(), area, cx));
            }
        }
    }
}
