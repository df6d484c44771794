//! Round trips, and several writers at once.

use super::*;
use crate::store::TaskScore;
use std::sync::Barrier;

fn run(started: i64, label: &str) -> NewRun {
    let score = |task: &str, accuracy: f64, n: u64| TaskScore {
        task: task.into(),
        accuracy,
        loss: 0.25,
        n,
        outcomes: (0..n).map(|at| at % 3 != 1).collect(),
    };
    NewRun {
        started_unix: started,
        method: "task_arithmetic".into(),
        method_name: "Task arithmetic".into(),
        label: label.into(),
        tuned_on_test: label.contains("0.4"),
        recipe_toml: "[fusion]\nmethod = \"task_arithmetic\"\n".into(),
        device: "cpu".into(),
        split: "test".into(),
        complete: true,
        seconds: 3.75,
        average: 0.6125,
        tasks: vec![score("emoji", 0.5, 13), score("animals", 0.725, 500), score("mnist", 0.0, 0)],
    }
}

#[test]
fn a_run_comes_back_as_it_went_in() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("new/folder/history.db");
    let stored = run(1_700_000_000, "task_arithmetic λ=0.4");
    let id = History::open(&path).unwrap().add(&stored).unwrap();
    let history = History::open(&path).unwrap();
    assert_eq!(history.list(10).unwrap(), [RunRecord { id, run: stored, pinned: false }]);
}

#[test]
fn numbers_that_are_none_stay_none() {
    let history = History::in_memory().unwrap();
    let mut stored = run(1, "ensemble");
    stored.tasks[0].loss = f64::NAN;
    stored.average = f64::NAN;
    let id = history.add(&stored).unwrap();
    let back = history.get(id).unwrap().unwrap().run;
    assert!(back.average.is_nan() && back.tasks[0].loss.is_nan());
    assert_eq!(back.tasks[1], stored.tasks[1]);
}

#[test]
fn newest_first_and_no_more_than_asked_for() {
    let history = History::in_memory().unwrap();
    for (started, label) in [(20, "b"), (30, "c"), (10, "a"), (30, "d")] {
        history.add(&run(started, label)).unwrap();
    }
    let labels: Vec<_> = history.list(3).unwrap().into_iter().map(|record| record.run.label).collect();
    assert_eq!(labels, ["d", "c", "b"]);
    assert_eq!(history.list(usize::MAX).unwrap().len(), 4);
}

#[test]
fn a_removed_run_takes_its_scores_along_and_its_id_is_not_used_again() {
    let history = History::in_memory().unwrap();
    let id = history.add(&run(1, "gone")).unwrap();
    assert!(history.remove(id).unwrap());
    assert!(!history.remove(id).unwrap());
    assert_eq!(history.get(id).unwrap(), None);
    let scores: i64 = history.db.query_row("SELECT count(*) FROM score", [], |row| row.get(0)).unwrap();
    assert_eq!(scores, 0);
    assert!(history.add(&run(2, "next")).unwrap() > id);
}

#[test]
fn pins_are_kept() {
    let history = History::in_memory().unwrap();
    let id = history.add(&run(1, "pinned")).unwrap();
    assert!(history.set_pinned(id, true).unwrap());
    assert!(history.get(id).unwrap().unwrap().pinned);
    assert!(history.set_pinned(id, false).unwrap());
    assert!(!history.get(id).unwrap().unwrap().pinned);
    assert!(!history.set_pinned(id + 1, true).unwrap());
}

#[test]
fn remembered_state_is_replaced() {
    let history = History::in_memory().unwrap();
    assert_eq!(history.ui_state("layout"), None);
    history.set_ui_state("layout", "{\"screen\":\"tune\"}").unwrap();
    history.set_ui_state("layout", "{\"screen\":\"run\"}").unwrap();
    assert_eq!(history.ui_state("layout").as_deref(), Some("{\"screen\":\"run\"}"));
}

#[test]
fn a_run_is_stored_whole_or_not_at_all() {
    let history = History::in_memory().unwrap();
    history
        .db
        .execute_batch(
            "CREATE TRIGGER t BEFORE INSERT ON score WHEN NEW.position = 1 BEGIN SELECT RAISE(ABORT, 'x'); END",
        )
        .unwrap();
    assert!(history.add(&run(1, "half")).is_err());
    assert_eq!(history.list(9).unwrap(), []);
}

#[test]
fn eight_writers_at_once_lose_nothing() {
    const WRITERS: i64 = 8;
    const RUNS: i64 = 12;
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("history.db");
    let start = Barrier::new(usize::try_from(WRITERS).unwrap());
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (path, start) = (&path, &start);
            scope.spawn(move || {
                start.wait();
                // All of them find no file, make one, and want the write-ahead log and the tables.
                let history = History::open(path).unwrap();
                for at in 0..RUNS {
                    history.add(&run(writer, &format!("{writer}/{at}"))).unwrap();
                    history.set_ui_state("last", &at.to_string()).unwrap();
                }
            });
        }
    });
    let mut labels: Vec<_> =
        History::open(&path).unwrap().list(1000).unwrap().into_iter().map(|record| record.run.label).collect();
    labels.sort();
    labels.dedup();
    assert_eq!(labels.len(), usize::try_from(WRITERS * RUNS).unwrap());
}
