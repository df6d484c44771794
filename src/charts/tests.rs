//! Charts of the sizes that people draw: what is in the files, and that nothing hostile gets through.
//!
//! With FUSEBENCH_LOOK=DIR the pictures stay in DIR to be looked at.

use super::png::tests::decode;
use super::*;
use std::path::PathBuf;

const TASKS: [&str; 8] = ["mnist", "fashion", "animals", "optdigits", "letters", "scripts", "emoji", "clipart"];

struct Folder {
    path: PathBuf,
    _temporary: tempfile::TempDir,
}

fn folder() -> Folder {
    let temporary = tempfile::tempdir().unwrap();
    let path = std::env::var_os("FUSEBENCH_LOOK").map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    Folder { path, _temporary: temporary }
}

/// Something between `low` and `high` that looks measured and is the same every time.
fn value(seed: usize, low: f64, high: f64) -> f64 {
    let share = (seed as f64 * 12.9898).sin() * 43758.5453;
    low + (high - low) * (share - share.floor())
}

fn some_bars(tasks: usize, runs: usize) -> Bars {
    let series = |name: String, low: f64, high: f64, reference: bool, seed: usize| Series {
        name,
        values: (0..tasks).map(|task| Some(value(seed * 31 + task, low, high))).collect(),
        intervals: Vec::new(),
        reference,
    };
    let mut all = vec![series("base".into(), 0.2, 0.5, true, 1), series("expert (own task)".into(), 0.8, 1.0, true, 2)];
    all.extend(
        (0..runs)
            .map(|run| series(format!("task_arithmetic λ={:.1}", 0.3 + 0.1 * run as f64), 0.4, 0.8, false, 3 + run)),
    );
    for series in all.iter_mut().skip(2) {
        series.intervals = series.values.iter().map(|value| value.map(|value| (value - 0.03, value + 0.03))).collect();
    }
    Bars {
        title: "Accuracy per task, test split".into(),
        categories: (0..tasks).map(|task| TASKS[task % 8].repeat(1 + task / 8)).collect(),
        series: all,
        y_label: String::new(),
    }
}

fn some_lines() -> Lines {
    let curve = |task: usize, lambda: f64| {
        let (start, peak, at) = (value(task, 0.2, 0.5), value(task + 50, 0.5, 0.9), value(task + 90, 0.2, 0.5));
        (peak - (peak - start) * ((lambda - at) / at.max(0.3)).powi(2)).max(0.1)
    };
    let lambdas: Vec<f64> = (0..=10).map(|step| f64::from(step) / 10.0).collect();
    let average = |lambda: f64| (0..8).map(|task| curve(task, lambda)).sum::<f64>() / 8.0;
    let line = |name: &str, bold, y: &dyn Fn(f64) -> f64| Line {
        name: name.into(),
        points: lambdas.iter().map(|&lambda| (lambda, y(lambda))).collect(),
        bold,
    };
    let mut series: Vec<_> = (0..8).map(|task| line(TASKS[task], false, &|lambda| curve(task, lambda))).collect();
    series.push(line("average", true, &average));
    let best = lambdas.iter().copied().max_by(|&a, &b| average(a).total_cmp(&average(b))).unwrap();
    Lines {
        title: "Task arithmetic on eight tasks: θ = θ₀ + λ Σ τ".into(),
        x_label: "scaling λ".into(),
        y_label: "accuracy".into(),
        marks: vec![Mark {
            x: best,
            y: average(best),
            label: format!("best λ = {best}: {:.1} %", 100.0 * average(best)),
        }],
        series,
        percent: true,
    }
}

fn some_heatmap(n: usize) -> Heatmap {
    let tasks: Vec<_> = (0..n).map(|task| TASKS[task % 8].to_owned() + &"+".repeat(task / 8)).collect();
    let cosine = |a: usize, b: usize| if a == b { 1.0 } else { value(a.min(b) * 37 + a.max(b), -0.08, 0.31) };
    Heatmap {
        title: "Cosine between task vectors".into(),
        rows: tasks.clone(),
        columns: tasks,
        values: (0..n).map(|a| (0..n).map(|b| cosine(a, b)).collect()).collect(),
        value_label: "cosine similarity".into(),
    }
}

fn read_svg(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"));
    text
}

#[test]
fn bars_show_every_name_and_number() {
    let folder = folder();
    let chart = some_bars(8, 2);
    let path = folder.path.join("bars.svg");
    bars(&chart, &path).unwrap();
    let svg = read_svg(&path);
    assert!(svg.contains("width=\"1200\" height=\"720\" viewBox=\"0 0 12000 7200\""));
    for text in TASKS.into_iter().chain(["base", "expert (own task)", "task_arithmetic λ=0.4", "accuracy (%)", "100"])
    {
        assert!(svg.contains(&format!(">\n{text}\n<")), "{text}");
    }
    for value in chart.series.iter().flat_map(|series| series.values.iter().flatten()) {
        assert!(svg.contains(&format!(">\n{:.1}\n<", 100.0 * value)));
    }
    bars(&chart, &folder.path.join("bars.png")).unwrap();
    let pixels = decode(&std::fs::read(folder.path.join("bars.png")).unwrap());
    assert_eq!((pixels.width, pixels.height), (2400, 1440));
    // The first run's blue fills a good part of the picture.
    let blue = pixels.rgb.chunks(3).filter(|pixel| *pixel == [0, 114, 178]).count();
    assert!(blue > 20_000, "{blue}");
}

#[test]
fn many_bars_still_fit() {
    let folder = folder();
    for (tasks, runs) in [(8, 6), (24, 3), (1, 1)] {
        bars(&some_bars(tasks, runs), &folder.path.join(format!("bars-{tasks}-{runs}.png"))).unwrap();
    }
}

#[test]
fn bars_without_a_value_are_left_out() {
    let folder = folder();
    let count = |missing: Option<f64>| {
        let mut chart = some_bars(4, 1);
        chart.series[2].intervals = Vec::new();
        chart.series[2].values[1] = missing;
        let path = folder.path.join("gap.svg");
        bars(&chart, &path).unwrap();
        read_svg(&path).matches("<polygon").count()
    };
    assert_eq!(count(Some(0.5)), 3 + 12);
    assert_eq!(count(None), 3 + 11);
    assert_eq!(count(Some(f64::NAN)), 3 + 11);
}

#[test]
fn lines_show_axes_legend_and_the_best_point() {
    let folder = folder();
    let chart = some_lines();
    let path = folder.path.join("lines.svg");
    lines(&chart, &path).unwrap();
    let svg = read_svg(&path);
    for text in TASKS.into_iter().chain(["average", "scaling λ", "accuracy (%)", "0.4", chart.marks[0].label.as_str()])
    {
        assert!(svg.contains(&format!(">\n{text}\n<")), "{text}");
    }
    assert_eq!(svg.matches("stroke=\"#0072B2\"").count(), 2, "the first line, in plot and legend");
    lines(&chart, &folder.path.join("lines.png")).unwrap();
    let pixels = decode(&std::fs::read(folder.path.join("lines.png")).unwrap());
    assert_eq!((pixels.width, pixels.height), (2400, 1440));
}

/// Accuracy so far, after every sample.
fn running(task: usize, samples: usize) -> Line {
    let accuracy = value(task, 0.45, 0.9);
    let mut right = 0;
    let mut so_far = |sample: usize| {
        right += usize::from(value(sample * 8 + task, 0.0, 1.0) < accuracy);
        (sample as f64, right as f64 / sample as f64)
    };
    Line { name: TASKS[task].into(), points: (1..=samples).map(&mut so_far).collect(), bold: false }
}

#[test]
fn long_series_are_thinned_and_gaps_break_the_line() {
    let folder = folder();
    let mut chart = Lines {
        title: "Accuracy over samples".into(),
        x_label: "samples".into(),
        y_label: "accuracy".into(),
        series: (0..8).map(|task| running(task, 3000)).collect(),
        marks: vec![],
        percent: true,
    };
    chart.series[0].points[1500].1 = f64::NAN;
    lines(&chart, &folder.path.join("samples.svg")).unwrap();
    let svg = read_svg(&folder.path.join("samples.svg"));
    assert_eq!(svg.matches("stroke=\"#0072B2\"").count(), 3, "two pieces and the legend");
    assert!(svg.len() < 120_000, "{}", svg.len());
    lines(&chart, &folder.path.join("samples.png")).unwrap();
}

#[test]
fn noisy_lines_stay_within_the_plot() {
    let folder = folder();
    let points = (0..2000u32).map(|at| (f64::from(at), value(at as usize, 0.4, 0.6))).collect();
    let chart = Lines { series: vec![Line { points, ..Line::default() }], ..Lines::default() };
    lines(&chart, &folder.path.join("noise.png")).unwrap();
    let pixels = decode(&std::fs::read(folder.path.join("noise.png")).unwrap());
    let blue = |row: usize| {
        pixels.rgb[3 * row * pixels.width..][..3 * pixels.width].chunks(3).filter(|&p| p == [0, 114, 178]).count()
    };
    assert!(blue(pixels.height / 2) > 100);
    assert_eq!((0..130).chain(1330..1440).map(blue).sum::<usize>(), 0);
}

#[test]
fn heatmaps_show_numbers_and_scale() {
    let folder = folder();
    let chart = some_heatmap(8);
    let path = folder.path.join("cosine.svg");
    heatmap(&chart, &path).unwrap();
    let svg = read_svg(&path);
    assert!(svg.contains("cosine similarity"));
    assert_eq!(svg.matches(">\n1.00\n<").count(), 8, "the diagonal");
    let number = ticks::format(chart.values[2][5], 2);
    assert!(svg.matches(&format!(">\n{number}\n<")).count() >= 2, "{number}");
    heatmap(&chart, &folder.path.join("cosine.png")).unwrap();
    for n in [2, 30] {
        heatmap(&some_heatmap(n), &folder.path.join(format!("cosine-{n}.png"))).unwrap();
    }
}

#[test]
fn hostile_names_are_escaped_and_cut() {
    let folder = folder();
    let mut chart = some_bars(2, 1);
    chart.title = "</text><script>alert(1)</script>\x1b[2J".into();
    chart.categories[0] = "x".repeat(1_000_000);
    chart.series[2].name = "\"a\" & <b>\u{202e}\u{ffff}".into();
    let path = folder.path.join("hostile.svg");
    bars(&chart, &path).unwrap();
    let svg = read_svg(&path);
    assert!(
        !svg.contains("<script") && !svg.contains('\x1b') && !svg.contains('\u{202e}') && !svg.contains('\u{ffff}')
    );
    assert!(svg.contains("&lt;/text&gt;&lt;script&gt;"));
    assert!(svg.contains("&quot;a&quot; &amp; &lt;b&gt;"));
    assert!(svg.len() < 30_000);
    bars(&chart, &folder.path.join("hostile.png")).unwrap();
}

#[test]
fn what_cannot_be_drawn_is_said_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chart.svg");
    let mut chart = some_bars(3, 1);
    chart.series[1].values.pop();
    let error = bars(&chart, &path).unwrap_err();
    assert_eq!(error.to_string(), "`expert (own task)` has 2 values, but there are 3 categories");
    assert!(matches!(bars(&Bars::default(), &path), Err(ChartError::Empty { .. })));
    assert!(matches!(lines(&Lines::default(), &path), Err(ChartError::Empty { .. })));
    assert!(matches!(heatmap(&Heatmap::default(), &path), Err(ChartError::Empty { .. })));
    let error = bars(&some_bars(3, 1), &folder.path().join("chart.pdf")).unwrap_err();
    assert!(error.to_string().contains(".svg or .png"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = bars(&some_bars(3, 1), &file.path().join("chart.svg")).unwrap_err();
    assert!(matches!(error, ChartError::Write { .. }) && !error.hint().is_empty());
}
