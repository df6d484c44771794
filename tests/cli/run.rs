//! `fusebench run` end to end on the zoo in the binary, on few samples.

use super::program::{json, keys, run, stdout, tasks};
use serde_json::Value as Json;
use std::fs;

/// Whatever differs between two runs of the same thing.
fn without_costs(mut report: Json) -> Json {
    let about = report["fusebench"].as_object_mut().unwrap();
    about.remove("seconds").unwrap();
    about.remove("memory").unwrap();
    report
}

#[test]
fn the_report_has_fusionbench_s_keys_and_adds_up() {
    let report = json(&["run", "task_arithmetic", "--limit", "8", "--json"]);
    let tasks = tasks();
    let expected: Vec<&str> =
        ["model_info"].into_iter().chain(tasks.iter().map(String::as_str)).chain(["average", "fusebench"]).collect();
    assert_eq!(keys(&report), expected);
    assert_eq!(keys(&report["model_info"]), ["trainable_params", "all_params", "trainable_percentage", "name"]);

    let mut sum = 0.0;
    for task in &tasks {
        let result = &report[task];
        assert_eq!(keys(result), ["accuracy", "loss", "n", "correct", "low", "high", "base", "expert", "seen"]);
        let number = |key: &str| result[key].as_f64().unwrap();
        assert_eq!(result["n"], 8);
        assert!((number("accuracy") - number("correct") / 8.0).abs() < 1e-12, "{task}: {result}");
        assert!(number("low") <= number("accuracy") && number("accuracy") <= number("high"), "{task}: {result}");
        assert!(number("loss") > 0.0);
        sum += number("accuracy");
    }
    assert_eq!(report["average"]["gap_recovered"], Json::Null, "a part of a split against scores of all of it");
    assert!((report["average"]["accuracy"].as_f64().unwrap() - sum / 8.0).abs() < 1e-12);
    let about = &report["fusebench"];
    assert_eq!((&about["complete"], &about["limit"], &about["split"]), (&false.into(), &8.into(), &"test".into()));
    assert_eq!(about["recipe"]["params"]["scaling"], 0.3);
    assert_eq!(about["recipe"]["experts"].as_array().unwrap().len(), 8);
}

#[test]
fn a_result_that_needs_the_task_says_so_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().display().to_string();
    let report = json(&["run", "emr", "--limit", "8", "--json", "--out", &out]);
    let models = &report["fusebench"]["per_task"];
    assert_eq!(models["note"], "one model per task: needs to know the task at test time");
    let bytes = |key: &str| models["bytes"][key].as_u64().unwrap();
    assert_eq!(bytes("total"), bytes("base") + bytes("shared") + bytes("own"));
    let share = models["share_of_experts"].as_f64().unwrap();
    assert!((share - bytes("total") as f64 / bytes("experts") as f64).abs() < 1e-12 && share < 1.0, "{models}");
    let csv_and_chart = ["report.json", "bars.svg"].map(|name| fs::read_to_string(folder.path().join(name)).unwrap());
    assert!(csv_and_chart.iter().all(|text| text.contains("one model per task")), "{out}");
    let table = stdout(&["run", "emr", "--limit", "8"]);
    assert!(table.contains("note: one model per task: needs to know the task at test time"), "{table}");
    for (args, said) in [(["methods", "emr"], 1), (["methods", "ties"], 0)] {
        assert_eq!(stdout(&args).matches("needs to know the task at test time").count(), said, "{args:?}");
    }
    assert!(stdout(&["methods"]).contains("one model per task"));
    assert!(json(&["run", "ties", "--limit", "8", "--json"])["fusebench"].get("per_task").is_none());
}

#[test]
fn tasks_without_an_expert_are_averaged_apart() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().display().to_string();
    for method in ["generalization-1", "emr", "smile"] {
        let experts = ["animals", "optdigits", "letters", "scripts", "emoji", "clipart"];
        let mut args = vec!["run", method, "--limit", "8", "--json", "--out", &out];
        let list = experts.join(",");
        if method != "generalization-1" {
            args.extend(["--experts", &list]);
        }
        let report = json(&args);
        let accuracy = |value: &Json| value["accuracy"].as_f64().unwrap();
        let mean = |wanted: bool| {
            let tasks: Vec<String> = tasks().into_iter().filter(|task| report[task]["seen"] == wanted).collect();
            assert_eq!(tasks.len(), if wanted { 6 } else { 2 }, "{method}");
            tasks.iter().map(|task| accuracy(&report[task])).sum::<f64>() / tasks.len() as f64
        };
        let average = &report["average"];
        let (seen, unseen) = (accuracy(&average["seen"]), accuracy(&average["unseen"]));
        assert!((seen - mean(true)).abs() < 1e-12 && (unseen - mean(false)).abs() < 1e-12, "{method}: {average}");
        assert!((accuracy(average) - (6.0 * seen + 2.0 * unseen) / 8.0).abs() < 1e-12, "{method}: {average}");
        assert_eq!(report["fusebench"]["recipe"]["experts"], Json::from(experts.to_vec()), "{method}");

        let csv = fs::read_to_string(folder.path().join("results.csv")).unwrap();
        let row = |start: &str| csv.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{csv}"));
        assert!(row("mnist,").ends_with(",false,false,false") && row("emoji,").ends_with(",true,false,false"), "{csv}");
        assert!(row("seen average,").contains(&format!(",{seen},")), "{csv}");
        assert!(row("unseen average,").contains(&format!(",{unseen},")), "{csv}");
        assert!(row("average,").contains(&format!(",{},", accuracy(average))), "{csv}");
    }
    // What was merged is in the recipe.
    let again = stdout(&["run", &format!("{out}/recipe.toml"), "--limit", "8"]);
    for start in
        ["mnist (unseen) ", "fashion (unseen) ", "seen average ", "unseen average ", "average ", "note: unseen"]
    {
        assert_eq!(again.lines().filter(|line| line.starts_with(start)).count(), 1, "{start}: {again}");
    }
    assert_eq!(again.matches("(unseen)").count(), 2, "{again}");
    // Everybody's expert is there: one average, as ever.
    let whole = json(&["run", "simple_average", "--limit", "8", "--json"]);
    assert!(whole["average"].get("seen").is_none() && whole["mnist"]["seen"] == true, "{whole}");
}

#[test]
fn experts_of_unseen_tasks_are_left_out() {
    let run =
        |choice: &[&str]| without_costs(json(&[&["run", "simple_average", "--limit", "8", "--json"], choice].concat()));
    let left = run(&["--unseen", "mnist,fashion"]);
    assert!(left["mnist"]["seen"] == false && left["letters"]["seen"] == true, "{left}");
    assert_eq!(left, run(&["--experts", "letters,emoji,optdigits,animals,scripts,clipart"]));
}

#[test]
fn settings_change_the_result_and_the_same_settings_repeat_it() {
    let run = |setting| without_costs(json(&["run", "task_arithmetic", "--limit", "16", "--json", "--set", setting]));
    let (none, again, full) = (run("scaling=0"), run("task_arithmetic.scaling=0.0"), run("method.params.scaling = 1"));
    assert_eq!(none, again);
    assert_eq!(full["fusebench"]["recipe"]["params"]["scaling"], 1.0);
    assert_ne!(none["average"]["loss"], full["average"]["loss"]);
}

#[test]
fn the_table_has_a_row_a_task_and_says_what_it_is() {
    let text = stdout(&["run", "simple_average", "--limit", "8", "--split", "validation", "--device", "cpu"]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("Simple average, 8 experts, validation split, cpu"), "{text}");
    let header: Vec<&str> = lines[2].split_whitespace().collect();
    assert_eq!(header, ["task", "base", "fused", "expert", "Δ", "base", "95", "%", "interval", "n"]);
    for (line, task) in lines[3..].iter().zip(tasks()) {
        assert!(line.starts_with(&task) && line.ends_with(" 8"), "{line}");
    }
    assert!(lines[11].starts_with("average") && lines[11].ends_with(" 64"), "{text}");
    assert!(text.contains("only a part of the split") && !text.contains("gap recovered"), "{text}");
}

#[test]
fn events_are_one_json_object_a_line_in_order() {
    let text = stdout(&["run", "ties", "--limit", "8", "--events"]);
    let events: Vec<Json> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let first =
        |kind: &str| kinds.iter().position(|&other| other == kind).unwrap_or_else(|| panic!("no {kind}: {text}"));
    assert!(first("queued") < first("started") && first("started") < first("phase"), "{kinds:?}");
    assert_eq!(kinds.iter().filter(|&&kind| kind == "task_done").count(), 8);
    assert!(events.iter().any(|event| event["type"] == "estimate" && event["low"].is_number()), "{text}");
    let last = events.last().unwrap();
    assert_eq!(last["type"], "finished");
    assert_eq!(last["report"]["tasks"].as_array().unwrap().len(), 8);
}

#[test]
fn out_leaves_a_folder_that_reproduces_itself() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("new/results");
    let out = out.to_str().unwrap();
    let report = json(&["run", "dare", "--set", "seed=7", "--limit", "8", "--json", "--out", out]);
    let read = |name: &str| fs::read(format!("{out}/{name}")).unwrap();

    let mut names: Vec<String> =
        fs::read_dir(out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let expected = ["bars.png", "bars.svg", "cosine.png", "cosine.svg", "recipe.toml", "report.json", "results.csv"];
    assert_eq!(names, expected);
    assert_eq!(serde_json::from_slice::<Json>(&read("report.json")).unwrap(), report);
    for chart in ["bars", "cosine"] {
        assert!(read(&format!("{chart}.png")).starts_with(b"\x89PNG\r\n"), "{chart}");
        let svg = String::from_utf8(read(&format!("{chart}.svg"))).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{chart}");
        for task in tasks() {
            assert!(svg.contains(&task), "{task} is missing in {chart}.svg");
        }
    }
    let csv = String::from_utf8(read("results.csv")).unwrap();
    let header = "task,split,corruption,accuracy,loss,n,correct,low,high,base,expert,seen,transductive,fitted";
    assert_eq!(csv.lines().next().unwrap(), header);
    assert_eq!(csv.lines().count(), 9);

    let recipe = format!("{out}/recipe.toml");
    let again = json(&["run", &recipe, "--json", "--out", out]);
    assert_eq!(without_costs(again), without_costs(report));
    assert_eq!(fs::read_dir(out).unwrap().count(), expected.len());
}

#[test]
fn a_sweep_gives_every_value_and_marks_the_best() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let args = ["run", "task_arithmetic", "--sweep", "scaling=0:1:0.5", "--split", "validation", "--limit", "16"];
    let report = json(&[&args[..], &["--json", "--out", out]].concat());
    let sweep = report["sweep"].as_array().unwrap();
    let values: Vec<f64> = sweep.iter().map(|entry| entry["value"].as_f64().unwrap()).collect();
    assert_eq!(values, [0.0, 0.5, 1.0]);
    let averages: Vec<f64> = sweep.iter().map(|entry| entry["average"].as_f64().unwrap()).collect();
    for (entry, average) in sweep.iter().zip(&averages) {
        let tasks: Vec<f64> = entry["tasks"].as_object().unwrap().values().map(|x| x.as_f64().unwrap()).collect();
        assert_eq!(tasks.len(), 8);
        assert!((tasks.iter().sum::<f64>() / 8.0 - average).abs() < 1e-12);
    }
    let best = averages.iter().copied().fold(f64::MIN, f64::max);
    assert_eq!(report["best"]["average"].as_f64(), Some(best));
    assert_eq!(report["best"]["split"], "validation");
    assert!(fs::read(folder.path().join("sweep.png")).unwrap().starts_with(b"\x89PNG\r\n"));
    let csv = fs::read_to_string(folder.path().join("results.csv")).unwrap();
    assert!(csv.starts_with("scaling,task,") && csv.lines().count() == 25, "{csv}");

    let table = stdout(&args);
    assert_eq!(table.lines().filter(|line| line.ends_with("best")).count(), 1, "{table}");
    assert!(!table.contains("--split validation"), "it was chosen on validation");
}

#[test]
fn seeds_show_what_is_luck() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let args = ["run", "dare", "--set", "drop=0.95", "--seeds", "3", "--set", "seed=5", "--limit", "32"];
    let report = json(&[&args[..], &["--json", "--out", out]].concat());
    let entries = report["seeds"].as_array().unwrap();
    assert_eq!(entries.iter().map(|entry| entry["seed"].as_f64().unwrap()).collect::<Vec<_>>(), [5.0, 6.0, 7.0]);
    let averages: Vec<f64> = entries.iter().map(|entry| entry["average"].as_f64().unwrap()).collect();
    let spread = &report["spread"]["average"];
    assert!((spread["mean"].as_f64().unwrap() - averages.iter().sum::<f64>() / 3.0).abs() < 1e-12);
    assert!(spread["deviation"].as_f64().unwrap() > 0.0, "other seeds drop other weights: {averages:?}");
    assert!(report["spread"]["mnist"]["low"].as_f64().unwrap() <= report["spread"]["mnist"]["high"].as_f64().unwrap());
    let csv = fs::read_to_string(folder.path().join("results.csv")).unwrap();
    assert!(csv.starts_with("seed,task,") && csv.lines().count() == 25, "{csv}");
    let table = stdout(&args);
    assert!(table.contains("seeds 5, 6, 7") && table.contains("± sd") && !table.contains("seed = "), "{table}");
    let fixed = run(&["run", "task_arithmetic", "--seeds", "3"]);
    assert!(fixed.code == 2 && fixed.stderr.contains("has no seed"), "{}", fixed.stderr);
}

#[test]
fn two_recipes_are_tested_on_the_same_samples() {
    let args = ["run", "task_arithmetic", "--set", "scaling=1", "--against", "simple_average", "--limit", "64"];
    let report = json(&[&args[..], &["--json"]].concat());
    let against = &report["against"];
    assert_eq!(against["recipe"]["method"], "simple_average");
    let average = &against["average"];
    let difference = average["difference"].as_f64().unwrap();
    let expected = report["average"]["accuracy"].as_f64().unwrap() - average["accuracy"].as_f64().unwrap();
    assert!((difference - expected).abs() < 1e-12);
    assert!(average["low"].as_f64().unwrap() < difference && difference < average["high"].as_f64().unwrap());
    for (task, row) in against["tasks"].as_object().unwrap() {
        let difference = report[task]["correct"].as_f64().unwrap() / report[task]["n"].as_f64().unwrap()
            - row["accuracy"].as_f64().unwrap();
        assert!((difference - row["difference"].as_f64().unwrap()).abs() < 1e-12);
        assert!(row["p_holm"].as_f64().unwrap() >= row["p"].as_f64().unwrap());
    }
    let same = json(&["run", "ties", "--against", "ties", "--limit", "16", "--json"]);
    assert!(same["against"]["tasks"].as_object().unwrap().values().all(|row| row["p"] == 1.0));
    let table = stdout(&args);
    assert!(table.contains("McNemar") && table.contains("other  Simple average"), "{table}");
}

#[test]
fn more_answering_experts_than_there_are_is_said() {
    let args = ["run", "smile", "--experts", "mnist,fashion", "--limit", "4", "--set"];
    assert!(stdout(&[&args[..], &["top_k=3"]].concat()).contains("warning: top_k is 3, and there are 2 experts"));
    assert!(!stdout(&[&args[..], &["top_k=2"]].concat()).contains("warning:"));
}

#[test]
fn corrupted_images_are_harder_and_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let args = ["run", "task_arithmetic", "--limit", "64", "--corrupt"];
    let one = json(&[&args[..], &["gaussian_noise:5", "--json", "--out", out]].concat());
    assert_eq!(one["fusebench"]["corruption"], "gaussian_noise:5");
    assert!(one["average"]["gap_recovered"].is_null());
    let csv = fs::read_to_string(folder.path().join("results.csv")).unwrap();
    assert!(csv.lines().skip(1).all(|line| line.contains(",test,gaussian_noise:5,")), "{csv}");
    let again = json(&["run", &format!("{out}/recipe.toml"), "--json"]);
    assert_eq!(without_costs(again), without_costs(one.clone()));
    let several = json(&[&args[..], &["all:5", "--json", "--out", out]].concat());
    let rows = several["robustness"].as_array().unwrap();
    assert_eq!(rows.len(), 8);
    assert_eq!((&rows[0]["images"], &rows[3]["images"]), (&"clean".into(), &"gaussian_noise:5".into()));
    assert_eq!(rows[3]["average"], one["average"]["accuracy"]);
    let average = |at: usize| rows[at]["average"].as_f64().unwrap();
    assert!((1..8).all(|at| average(at) < average(0) + 0.01) && average(6) < average(0) - 0.05, "{rows:?}");
    let again = json(&["run", &format!("{out}/recipe.toml"), "--json"]);
    assert_eq!(again["robustness"], several["robustness"]);
    assert_eq!(json(&["run", "robustness", "--limit", "64", "--json"])["robustness"], several["robustness"]);
    let table = stdout(&[&args[..], &["contrast,spatter:1"]].concat());
    assert!(table.contains("contrast:3") && table.contains("spatter:1") && table.contains("clean"), "{table}");
    let wrong = run(&["run", "ties", "--corrupt", "fog"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("motion_blur, impulse_noise"), "{}", wrong.stderr);
    for more in [["--sweep", "scaling=0:1:0.5"], ["--seeds", "2"], ["--against", "ties"]] {
        for several in [&["run", "robustness"][..], &["run", "ties", "--corrupt", "all"]] {
            let wrong = run(&[several, &more[..]].concat());
            assert!(wrong.code == 2 && wrong.stderr.contains("hint: "), "{}", wrong.stderr);
        }
    }
    let swept = json(&[&args[..], &["contrast:5", "--sweep", "scaling=0.1,0.3", "--json"]].concat());
    assert_eq!(swept["sweep"][1]["average"], rows[6]["average"], "one kind goes with a sweep");
    assert_eq!(swept["fusebench"]["corruption"], "contrast:5");
    let table = stdout(&[&args[..], &["contrast:5", "--sweep", "scaling=0.1,0.3"]].concat());
    assert!(table.starts_with("Task arithmetic, 8 experts, test split, contrast 5"), "{table}");
}
