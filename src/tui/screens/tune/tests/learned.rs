//! What is learned while it is, and whose numbers are on screen meanwhile.

use super::*;

/// A preview of AdaMerging that has taken some steps.
fn learning(model: &mut Model, method: &str, blocks: &[&str], exact: bool) -> crate::engine::RunId {
    let mut fx = Vec::new();
    let method = model.catalog.methods.iter().copied().find(|known| known.id == method).unwrap();
    actions::use_method(model, method, &mut fx);
    let (run, job) = submitted(&mut fx).pop().unwrap();
    hear(model, &Event::Started { run, kind: job.kind, device: "cpu".into() }, &mut fx);
    hear(model, &Event::Phase { run, name: "fuse".into(), total: Some(10), unit: "tensors".into() }, &mut fx);
    hear(model, &Event::Phase { run, name: "adapt".into(), total: Some(100), unit: "steps".into() }, &mut fx);
    for step in 1..=30u64 {
        model.now += Duration::from_millis(100);
        let row =
            |expert: usize| (0..blocks.len()).map(|b| 0.3 + 0.01 * (step as f64) * (b + expert) as f64 / 9.0).collect();
        let event = Event::Adapted {
            run,
            step,
            steps: 100,
            loss: 1.5 / (1.0 + step as f64 / 10.0),
            losses: vec![1.0; job.recipe.experts.len()],
            blocks: blocks.iter().map(|&block| block.to_owned()).collect(),
            coefficients: (0..job.recipe.experts.len()).map(row).collect(),
            exact,
            masked: job.recipe.method.starts_with("concrete"),
        };
        hear(model, &event, &mut fx);
    }
    run
}

#[test]
fn what_is_learned_streams_in_and_can_be_kept_as_sliders() {
    let mut model = started(120, 44);
    let blocks: Vec<String> = model.catalog.groups.clone();
    let blocks: Vec<&str> = blocks.iter().map(String::as_str).collect();
    let run = learning(&mut model, "adamerging_layer_wise", &blocks, false);
    for (width, height) in [(120, 44), (80, 21), (50, 12)] {
        let text = draw(width, height, |area, cx| view(&model, area, cx)).text();
        assert!(text.contains("step 30 of 100") && !text.contains("fused "), "{text}");
    }
    let mut fx = Vec::new();
    command(&mut model, "tune.enough", &mut fx);
    assert!(fx.iter().any(|effect| matches!(effect, Effect::Enough(id) if *id == run)));
    fx.clear();
    // The engine says what the result is: 30 steps. Nothing new is asked of it for that.
    let mut params = model.tune.setting.params.clone();
    params.set_text(model.tune.setting.method.specs, "steps", "30").unwrap();
    hear(&mut model, &Event::Settled { run, params }, &mut fx);
    assert_eq!(model.tune.setting.params.get("steps"), Some(&Value::Int(30)));
    assert!(submitted(&mut fx).is_empty() && model.runs.get(run).unwrap().label.contains("steps=30"));
    hear(&mut model, &Event::Phase { run, name: "evaluate".into(), total: Some(800), unit: "images".into() }, &mut fx);
    let text = draw(120, 44, |area, cx| view(&model, area, cx)).text();
    assert!(text.contains("fused 3.0 s"), "learning is a part of it\n{text}");
    command(&mut model, "tune.sliders", &mut fx);
    let (_, job) = submitted(&mut fx).pop().unwrap();
    assert_eq!(job.recipe.method, "layer_wise");
    let Some(Value::Table(table)) = job.recipe.params.get("scaling") else { panic!("{job:?}") };
    assert_eq!((table.len(), table[0].len()), (job.recipe.experts.len(), blocks.len()));
    assert_eq!(table[1][1], 0.3667);
    command(&mut model, "tune.undo", &mut fx);
    assert_eq!(model.tune.setting.method.id, "adamerging_layer_wise");
}

#[test]
fn what_is_shown_while_a_change_waits_is_not_said_to_be_of_it() {
    let mut model = started(120, 44);
    let run = learning(&mut model, "adamerging_layer_wise", &["layer 0"], false);
    let mut fx = Vec::new();
    command(&mut model, "tune.more", &mut fx);
    assert!(submitted(&mut fx).is_empty(), "a costly change waits");
    // The preview before it goes on all the same.
    let before = model.tune.setting.clone();
    let mut params = before.params.clone();
    params.set_text(before.method.specs, "steps", "30").unwrap();
    hear(&mut model, &Event::Settled { run, params }, &mut fx);
    let (task, correct, seen, total) = ("mnist".to_owned(), 300, 400, 400);
    hear(&mut model, &Event::Estimate { run, task, correct, seen, total, low: 0.7, high: 0.8 }, &mut fx);
    assert_eq!(model.tune.setting, before);
    assert!(model.tune.board.slots.iter().all(|slot| !slot.fresh && slot.score.is_some()));
    let text = draw(120, 44, |area, cx| view(&model, area, cx)).text();
    assert!(text.contains("· before the change") && !text.contains("fitted"), "{text}");
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("These are of AdaMerging, layer-wise, per=block η=0.01 steps=30 λ₀=0.3"), "{text}");
}

#[test]
fn bars_of_another_method_are_not_said_to_be_of_the_one_that_was_chosen() {
    let mut model = started(120, 44);
    learning(&mut model, "adamerging_layer_wise", &["layer 0"], false);
    let text = draw(120, 44, |area, cx| view(&model, area, cx)).text();
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("· before the change") && words.contains("These are of Task arithmetic, λ=0.3"), "{text}");
    assert!(!words.contains("no clear difference"), "{text}");
}

#[test]
fn what_was_learned_can_be_seen_where_there_is_no_room_for_it() {
    let mut model = started(80, 21);
    let run = learning(&mut model, "adamerging_layer_wise", &["layer 0", "layer 1"], false);
    let mut fx = Vec::new();
    hear(&mut model, &Event::Phase { run, name: "evaluate".into(), total: Some(800), unit: "images".into() }, &mut fx);
    let job = model.runs.get(run).unwrap().job.clone();
    finish(&mut model, run, &job, &mut fx);
    assert!(shot(&model).text().contains("i: what was learned"), "{}", shot(&model).text());
    command(&mut model, "tune.learned", &mut fx);
    let text = shot(&model).text();
    assert!(text.contains("step 30 of 100") && text.contains("K keeps as sliders") && text.contains("layer"), "{text}");
    command(&mut model, "tune.close", &mut fx);
    assert!(!shot(&model).text().contains("step 30 of 100"));
}

#[test]
fn what_the_method_warns_of_stands_before_the_comparison() {
    let mut model = started(80, 21);
    let run = learning(&mut model, "adamerging_layer_wise", &["layer 0"], false);
    let mut fx = Vec::new();
    let text = "step 3 made answers nearly the same for all images; kept what step 1 gave. Smaller steps help";
    hear(&mut model, &Event::Log { run, level: "warn".into(), text: text.into() }, &mut fx);
    let job = model.runs.get(run).unwrap().job.clone();
    finish(&mut model, run, &job, &mut fx);
    let text = shot(&model).text();
    let at = |words: &str| text.lines().position(|line| line.contains(words)).unwrap_or_else(|| panic!("{text}"));
    assert!(at("step 3 made answers") < at("i: what was learned"));
    let mut large = started(120, 44);
    let run = learning(&mut large, "adamerging_layer_wise", &["layer 0"], false);
    hear(&mut large, &Event::Log { run, level: "warn".into(), text: "steps were too large".into() }, &mut fx);
    let job = large.runs.get(run).unwrap().job.clone();
    finish(&mut large, run, &job, &mut fx);
    let text = draw(120, 44, |area, cx| view(&large, area, cx)).text();
    assert!(text.contains("steps were too large") && text.contains("better for"), "{text}");
}

#[test]
fn what_a_mask_lies_on_does_not_become_sliders() {
    let mut model = started(120, 44);
    let blocks: Vec<String> = model.catalog.groups.clone();
    let blocks: Vec<&str> = blocks.iter().map(String::as_str).collect();
    learning(&mut model, "concrete_task_arithmetic", &blocks, false);
    let text = draw(120, 44, |area, cx| view(&model, area, cx)).text();
    assert!(text.contains("step 30 of 100") && text.contains("what the mask leaves"), "{text}");
    let sliders = crate::tui::command::find("tune.sliders").unwrap();
    assert_eq!((sliders.enabled)(&model), Err("a mask was learned too, and sliders would lose it"));
}

#[test]
fn one_number_an_expert_becomes_task_wise_sliders() {
    let mut model = started(80, 21);
    learning(&mut model, "adamerging_task_wise", &["all"], true);
    let mut fx = Vec::new();
    command(&mut model, "tune.sliders", &mut fx);
    let (_, job) = submitted(&mut fx).pop().unwrap();
    assert_eq!(job.recipe.method, "task_wise");
    let Some(Value::List(list)) = job.recipe.params.get("scaling") else { panic!("{job:?}") };
    assert_eq!(list.len(), job.recipe.experts.len());
    assert!(!model.tune.setting.tuned_on_test);
}

#[test]
fn adapting_to_test_inputs_is_said_wherever_it_is_shown() {
    let mut model = started(120, 37);
    let mut fx = Vec::new();
    let method = model.catalog.methods.iter().copied().find(|known| known.id == "adamerging_task_wise").unwrap();
    let mut setting = Setting::defaults(method, &model.catalog.experts.clone());
    setting.params.set_text(method.specs, "data", "test").unwrap();
    actions::change_to(&mut model, setting, setting::Key::Single, &mut fx);
    let (run, _) = submitted(&mut fx).pop().unwrap();
    assert!(model.runs.get(run).unwrap().label.starts_with("adamerging_task_wise (transductive) "));
    let (task, correct, seen, total) = ("mnist".to_owned(), 300, 400, 400);
    hear(&mut model, &Event::Estimate { run, task, correct, seen, total, low: 0.7, high: 0.8 }, &mut fx);
    let text = draw(120, 37, |area, cx| view(&model, area, cx)).text();
    assert!(text.contains("· transductive"), "{text}");
}
