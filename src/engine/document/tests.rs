//! What is read, what is refused and where, and that what is written reads back the same.

use super::*;
use crate::engine::document::peer::{Base, PEERS};
use crate::params::Value;

fn load(text: &str) -> Loaded {
    Loaded::parse(text, "m.yml").unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn error(text: &str) -> String {
    match Loaded::parse(text, "m.yml") {
        Err(error) => error.to_string(),
        Ok(loaded) => panic!("accepted: {loaded:?}\n{text}"),
    }
}

fn plain(text: &str) -> Plain {
    let loaded = load(text);
    loaded.documents[0].plain().unwrap_or_else(|| panic!("not plain: {loaded:?}"))
}

/// A configuration of each of mergekit's methods.
fn example(name: &str) -> String {
    let base = if matches!(name, "linear" | "karcher" | "passthrough") { "" } else { "base_model: base\n" };
    let count = match name {
        "slerp" | "nearswap" | "arcee_fusion" | "passthrough" => 1,
        "nuslerp" => 2,
        _ => 3,
    };
    let models: String =
        (0..count).map(|at| format!("  - model: m{at}\n    parameters: {{weight: 0.{}}}\n", at + 2)).collect();
    let own = if matches!(name, "slerp" | "nearswap") { "parameters: {t: 0.25}\n" } else { "" };
    format!("merge_method: {name}\n{base}models:\n{models}{own}dtype: bfloat16\n")
}

#[test]
fn the_defaults_are_mergekits_and_not_ours() {
    let ties = plain(&example("ties"));
    assert_eq!(ties.method.id, "mergekit_ties");
    let value = |name: &str| ties.params.get(name).cloned().unwrap();
    assert_eq!(value("density"), Value::Float(1.0));
    assert_eq!(value("weight"), Value::List(vec![0.2, 0.3, 0.4]));
    assert_eq!(
        (value("normalize"), value("rescale"), value("lambda")),
        (Value::Bool(true), Value::Bool(false), Value::Float(1.0))
    );
    assert_eq!((ties.base.as_deref(), ties.dtype.as_deref()), (Some("base"), Some("bf16")));
    for (name, parameter, expected) in [
        ("dare_ties", "normalize", Value::Bool(false)),
        ("dare_ties", "rescale", Value::Bool(true)),
        ("della", "normalize", Value::Bool(true)),
        ("della_linear", "normalize", Value::Bool(false)),
        ("breadcrumbs", "gamma", Value::Float(0.01)),
        ("model_stock", "average", Value::Text("cosines".into())),
        ("nuslerp", "along", Value::Text("tensor".into())),
        ("nuslerp", "centre", Value::Text("base".into())),
        ("multislerp", "centre", Value::Text("base".into())),
        ("karcher", "max_iter", Value::Int(10)),
        ("passthrough", "scale", Value::Float(1.0)),
    ] {
        assert_eq!(plain(&example(name)).params.get(parameter), Some(&expected), "{name}.{parameter}");
    }
    let switched =
        plain(&format!("{}parameters: {{nuslerp_flatten: false, nuslerp_row_wise: true}}\n", example("nuslerp")));
    assert_eq!(switched.params.get("along"), Some(&Value::Text("first".into())));
}

#[test]
fn the_base_is_treated_as_mergekit_does() {
    // SLERP goes from the base to the other, whatever the order.
    let slerp = plain("merge_method: slerp\nbase_model: a\nmodels: [{model: b}, {model: a}]\nparameters: {t: 0.3}\n");
    assert_eq!((slerp.base, slerp.experts), (None, vec!["a".to_owned(), "b".to_owned()]));
    // To these it is a model like the others, and added where it is not listed.
    let karcher = load("merge_method: karcher\nbase_model: a\nmodels: [{model: b}, {model: c}]\n");
    let document = &karcher.documents[0];
    assert_eq!(document.sources().map(|source| source.model.as_str()).collect::<Vec<_>>(), ["b", "c", "a"]);
    assert_eq!((document.base_model.as_deref(), document.donor()), (None, Some("a")));
    assert!(
        error("merge_method: linear\nbase_model: a\nmodels: [{model: b, parameters: {weight: 1}}]\n")
            .contains("`weight` of a is missing")
    );
    assert!(
        error("merge_method: ties\nmodels: [{model: b, parameters: {weight: 1}}]\n")
            .contains("`base_model` is missing")
    );
}

#[test]
fn numbers_beyond_the_sliders_are_mergekits_too() {
    let text = "merge_method: ties\nbase_model: base\nmodels:\n  - {model: a, parameters: {weight: 7.5, density: 1}}\n  \
                - {model: b, parameters: {weight: -6, density: 0.01}}\nparameters: {lambda: -1.2}\n";
    let ties = plain(text);
    let value = |name: &str| ties.params.get(name).cloned().unwrap();
    assert_eq!(value("weight"), Value::List(vec![7.5, -6.0]));
    assert_eq!(value("density"), Value::List(vec![1.0, 0.01]));
    assert_eq!(value("lambda"), Value::Float(-1.2));
    let slerp = "merge_method: slerp\nbase_model: a\nmodels: [{model: a}, {model: b}]\nparameters: {t: 1.5}\n";
    assert_eq!(plain(slerp).params.get("t"), Some(&Value::Float(1.5)));
    // FusionBench's, of whose scaling factors no slider has an end.
    let fusion_bench = "method: {_target_: fusion_bench.method.TaskArithmeticAlgorithm, scaling_factor: 4}\nmodelpool:\n  \
                        models: {_pretrained_: base, a: a, b: b}\n";
    assert_eq!(plain(fusion_bench).params.get("scaling"), Some(&Value::Float(4.0)));
}

#[test]
fn complaints_have_line_column_and_suggestion() {
    let start = "merge_method: ties\nbase_model: base\n";
    let models = "models:\n  - model: a\n    parameters:\n      weight: 0.5\n";
    for (text, expected) in [
        (format!("{start}{models}      densty: 1\n"), "m.yml:7:7: unknown key `densty`, did you mean `density`?"),
        (format!("{start}{models}      density: 7\n"), "m.yml:7:7: `density` = 7 is out of bounds (0..=1)"),
        (format!("{start}{models}      density: much\n"), "m.yml:7:7: `density` must be a number"),
        (format!("{start}{models}      density: 1e999\n"), "m.yml:7:16: `density` must be a number that is not infinite"),
        (format!("{start}{models}      density: []\n"), "m.yml:7:16: `density` must be a value"),
        (format!("{start}{models}      density: [{{value: 1, filtr: x}}]\n"), "m.yml:7:28: unknown key `filtr`, did you mean `filter`?"),
        (format!("{start}{models}dtpe: float32\n"), "m.yml:7:1: unknown key `dtpe`, did you mean `dtype`?"),
        (format!("{start}{models}dtype: float\n"), "m.yml:7:8: `dtype` must be float32"),
        (format!("{start}models: [{{model: a}}]\n"), "m.yml:3:9: `weight` of a is missing"),
        (format!("{start}models: a\n"), "m.yml:3:9: `models` must be a list, got a"),
        (start.to_owned(), "m.yml:1:1: no models"),
        (format!("{start}{models}slices: []\n"), "m.yml:7:9: `slices` is empty"),
        ("merge_method: tise\nmodels: [{model: a}]\n".to_owned(), "m.yml:1:15: mergekit has no method `tise`, did you mean `ties`?"),
        ("merge_method: passthrough\nslices: [{sources: [{model: a, layer_range: [3, 1]}]}]\n".to_owned(), "m.yml:2:45: `layer_range` [3, 1] has no layers"),
        ("merge_method: passthrough\nslices: [{sources: [{model: a, layer_range: [0, 1e9]}]}]\n".to_owned(), "m.yml:2:49: `layer_range` must be a whole number"),
        ("merge_method: linear\nmodels: [{model: a, parameters: {weight: 1}}, {model: a, parameters: {weight: 1}}]\n".to_owned(), "m.yml:2:47: the model a stands twice"),
        ("tokenizer_source: union\n".to_owned(), "m.yml:1:1: neither mergekit's"),
        (format!("{start}{models}tokenizer_source: union\ntokenizer: {{source: base}}\n"), "m.yml:8:12: only one of"),
    ] {
        let message = error(&text);
        assert!(message.starts_with(expected), "{text}\n  got      {message}\n  expected {expected}");
    }
}

#[test]
fn hostile_yaml_is_refused_with_its_line() {
    let deep = format!("a: {}", "[".repeat(5000));
    let many = format!("merge_method: ties\nx: [{}]\n", "1,".repeat(120_000));
    let billion = "a: &a [x,x,x]\nb: &b [*a,*a,*a]\nc: [*b,*b,*b]\n";
    for (text, expected) in [
        (billion, "m.yml:1:7: anchors"),
        ("a: *nothing\n", "m.yml:1:"),
        ("merge_method: !!python/object/apply:os.system [ls]\n", "m.yml:1:"),
        ("merge_method: !evil x\n", "m.yml:1:"),
        (deep.as_str(), "m.yml:1:"),
        (many.as_str(), "m.yml:2:"),
        ("a: 1\nb: 2\na: 3\n", "m.yml:3:1: the key `a` stands twice, first in line 1"),
        ("<<: {a: 1}\n", "m.yml:1:1: merge keys"),
        ("? [a, b]\n: 1\n", "m.yml:1:3: a list or map cannot be a key"),
        ("%YAML 1.1\n---\na: 1\n", "m.yml:1:"),
        ("a: [1, 2\nb: 3\n", "m.yml:"),
        ("\ta: 1\n", "m.yml:1:"),
        ("", "m.yml: the file is empty"),
        ("just text\n", "m.yml:1:1: `the document` must be a map"),
    ] {
        let message = error(text);
        assert!(
            message.starts_with(expected),
            "{}\n  got      {message}\n  expected {expected}",
            text.chars().take(80).collect::<String>()
        );
    }
    assert!(error(&"# x\n".repeat(400_000)).contains("larger than 1 MiB"));
    assert!(error("merge_method: !!python/object x\n").contains("the tag `!!python/object` is not read"));
}

#[test]
fn what_has_no_effect_is_said_and_read_over() {
    let loaded = load(
        "merge_method: linear\nmodels:\n  - {model: a, parameters: {weight: 1, density: 0.5}}\n  - {model: b, parameters: {weight: 1}}\nparameters: {int8_mask: true}\n",
    );
    assert_eq!(loaded.notes, ["`density` has no effect on `linear`, neither here nor in mergekit"]);
}

#[test]
fn documents_are_put_in_the_order_in_which_they_need_each_other() {
    let passthrough =
        |name: &str, model: &str| format!("{name}merge_method: passthrough\nmodels: [{{model: {model}}}]\n");
    let text =
        [passthrough("", "second+lora"), passthrough("name: second\n", "first"), passthrough("name: first\n", "org/x")]
            .join("---\n");
    let loaded = load(&text);
    let names: Vec<Option<&str>> = loaded.documents.iter().map(|document| document.name.as_deref()).collect();
    assert_eq!(names, [Some("first"), Some("second"), None]);
    let cycle = [passthrough("name: a\n", "b"), passthrough("name: b\n", "a"), passthrough("", "a")].join("---\n");
    assert!(error(&cycle).contains("needs itself"), "{}", error(&cycle));
    let idle = [passthrough("name: a\n", "x"), passthrough("", "y")].join("---\n");
    assert!(error(&idle).contains("nothing uses the merge `a`"));
    let two = [passthrough("", "x"), passthrough("", "y")].join("---\n");
    assert!(error(&two).contains("two merges have no `name`"));
    assert!(
        error(&[passthrough("name: ../x\n", "y"), passthrough("", "../x")].join("---\n"))
            .contains("cannot be the name")
    );
}

/// Documents with slices, filters, gradients, modules and tokens.
const RICH: &[&str] = &[
    "merge_method: slerp\nbase_model: a\nslices:\n  - sources: [{model: a, layer_range: [0, 4]}, {model: b, layer_range: [0, 4]}]\n\
     parameters:\n  t:\n    - {filter: self_attn, value: [0, 0.5, 1]}\n    - value: 0.5\n",
    "merge_method: passthrough\nslices:\n  - sources: [{model: a, layer_range: [0, 3]}]\n  - sources:\n      - model: a\n        layer_range: [1, 4]\n\
        \x20       parameters: {scale: [{filter: o_proj, value: 0}, {value: 1}]}\n",
    "merge_method: dare_ties\nbase_model: base\nmodules:\n  text_decoder:\n    models: [{model: a, parameters: {weight: [0.1, 0.9]}}]\n\
     \x20   parameters: {lambda: 0.5}\n  vision_tower:\n    slices:\n      - sources: [{model: a, layer_range: [0, 2], parameters: {weight: 1}}, {model: base, layer_range: [0, 2]}]\n",
    "merge_method: ties\nbase_model: {model: {path: org/base, revision: main}}\nmodels: [{model: \"org/x+org/lora@v1\", parameters: {weight: 1}}]\n\
     tokenizer:\n  source: union\n  pad_to_multiple_of: 8\n  tokens:\n    <a>: {source: {kind: zero}}\n    <b>: {source: {kind: model_token, model: org/base, token_id: 3}, force: true}\n\
     chat_template: \"{{ x }}\"\nout_dtype: float16\n",
];

#[test]
fn recipes_in_toml_say_the_same() {
    let all = RICH.iter().map(|text| (*text).to_owned()).chain(PEERS.iter().map(|peer| example(peer.name)));
    for text in all {
        let loaded = load(&text);
        let toml = loaded.to_recipe();
        let back = Loaded::parse(&toml, "r.toml").unwrap_or_else(|error| panic!("{error}\n{toml}"));
        assert_eq!(back.documents, loaded.documents, "{toml}");
        let json = serde_json::to_string(&loaded.documents).unwrap();
        assert_eq!(serde_json::from_str::<Vec<Document>>(&json).unwrap(), loaded.documents, "{json}");
    }
}

#[test]
fn what_mergekit_can_do_is_given_back_to_it() {
    let all = RICH.iter().map(|text| (*text).to_owned()).chain(PEERS.iter().map(|peer| example(peer.name)));
    for text in all {
        let loaded = load(&text);
        let yaml = to_mergekit(&loaded.documents).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let back = load(&yaml);
        // The same values where there were defaults before.
        let once_more = to_mergekit(&back.documents).unwrap();
        assert_eq!(once_more, yaml);
        match (loaded.documents[0].plain(), back.documents[0].plain()) {
            (Some(before), Some(after)) => assert_eq!(after, before, "{yaml}"),
            (None, None) => {
                assert_eq!(back.documents[0].references().len(), loaded.documents[0].references().len(), "{yaml}");
            }
            (before, after) => panic!("{before:?} became {after:?}\n{yaml}"),
        }
    }
}

#[test]
fn what_mergekit_cannot_do_is_said() {
    let export = |method: &str, params: &[(&str, Value)]| {
        let method = crate::fusion::find(method).unwrap();
        let params = crate::params::ParamSet::checked(method.specs, params.iter().cloned()).unwrap();
        let experts = ["a", "b"].map(|name| Source { model: name.to_owned(), ..Source::default() }).to_vec();
        to_mergekit(&[of_preset(method, &params, Some("base".to_owned()), experts, None).unwrap()])
    };
    assert!(export("ties", &[]).unwrap_err().hint.contains("mergekit_ties"));
    assert!(export("tsv_m", &[]).unwrap_err().to_string().contains("no method that computes what TSV-M does"));
    assert!(
        export("slerp", &[("dot_threshold", Value::Float(0.9))])
            .unwrap_err()
            .to_string()
            .contains("no `dot_threshold`")
    );
    let average = export("simple_average", &[]).unwrap();
    assert_eq!(load(&average).documents[0].plain().unwrap().experts, ["a", "b"]);
    let arithmetic =
        load(&export("task_arithmetic", &[("scaling", Value::Float(0.4))]).unwrap()).documents[0].plain().unwrap();
    assert_eq!(arithmetic.params.get("lambda"), Some(&Value::Float(0.4)));
    assert_eq!(arithmetic.params.get("weight"), Some(&Value::Float(1.0)));
    let wise =
        load(&export("task_wise", &[("scaling", Value::List(vec![0.1, 0.2]))]).unwrap()).documents[0].plain().unwrap();
    assert_eq!(wise.params.get("weight"), Some(&Value::List(vec![0.1, 0.2])));
    let stock = load(&export("model_stock", &[]).unwrap()).documents[0].plain().unwrap();
    assert_eq!(stock.params.get("average"), Some(&Value::Text("cosines".into())));
}

#[test]
fn fusionbench_is_read_in_one_file_and_in_its_old_form() {
    let text = "method:\n  _target_: fusion_bench.method.TiesMergingAlgorithm\n  scaling_factor: 0.4\n  threshold: 30\n\
                modelpool:\n  _target_: fusion_bench.modelpool.CLIPVisionModelPool\n  _recursive_: false\n  root: /data\n  models:\n\
                \x20   _pretrained_: org/base\n    cars: {_target_: transformers.CLIPVisionModel.from_pretrained, pretrained_model_name_or_path: \"${...root}/cars\"}\n\
                \x20   sun: {base_model_name: org/base, peft_name: org/sun-lora}\n  model_kwargs: {torch_dtype: bfloat16}\ntaskpool: {x: 1}\n";
    let ties = plain(text);
    assert_eq!(ties.method.id, "ties");
    assert_eq!(
        (ties.params.get("scaling"), ties.params.get("density")),
        (Some(&Value::Float(0.4)), Some(&Value::Float(0.3)))
    );
    assert_eq!((ties.base.as_deref(), ties.dtype.as_deref()), (Some("org/base"), Some("bf16")));
    assert_eq!(ties.experts, ["cars=/data/cars", "sun=org/base+org/sun-lora"]);
    let legacy = "method: {name: task_arithmetic, scaling_factor: 0.2}\nmodelpool:\n  type: clip_vision\n  models:\n    - {name: _pretrained_, path: b}\n    - {name: x, path: y}\n";
    let loaded = load(legacy);
    assert!(loaded.notes[0].contains("before 0.2"), "{:?}", loaded.notes);
    assert_eq!(loaded.documents[0].plain().unwrap().experts, ["x=y"]);
    let pool = "modelpool: {models: {_pretrained_: b, x: y, z: w}}\n";
    let weighted = plain(&format!(
        "method: {{_target_: WeightedAverageAlgorithm, weights: [0.3, 0.7], normalize: false}}\n{pool}"
    ));
    assert_eq!(weighted.params.get("weights"), Some(&Value::List(vec![0.3, 0.7])));
    for (text, expected) in [
        (format!("method: {{_target_: WeightedAverageAlgorithm, weights: [0.3]}}\n{pool}"), "m.yml:1:46: `weights` has 1 values, the pool has 2 experts"),
        (format!("method: {{_target_: TaskArithmeticAlgoritm}}\n{pool}"), "m.yml:1:9: FusionBench's `TaskArithmeticAlgoritm` is no method"),
        (format!("method: {{_target_: TaskArithmeticAlgorithm, scaling: 1}}\n{pool}"), "m.yml:1:45: unknown key `scaling`, did you mean `scaling_factor`?"),
        ("method: {_target_: TaskArithmeticAlgorithm}\n".to_owned(), "m.yml: this names a method and no models"),
        ("models: {a: b}\n_target_: fusion_bench.modelpool.CLIPVisionModelPool\n".to_owned(), "m.yml: this is a model pool without a method"),
        ("method: {_target_: TaskArithmeticAlgorithm}\nmodelpool: {models: ???}\n".to_owned(), "m.yml:2:21: `models` is still to be filled in"),
        ("method: {_target_: TaskArithmeticAlgorithm}\nmodelpool: {models: {_pretrained_: \"${..x}\"}}\n".to_owned(), "m.yml:2:36: `${..x}` cannot be resolved"),
        ("method: {_target_: TaskArithmeticAlgorithm}\nmodelpool: {a: \"${.b}\", b: \"${.a}\", models: {_pretrained_: \"${..a}\"}}\n".to_owned(), "m.yml:2:"),
        ("defaults: [x]\nmethod: {_target_: A}\n".to_owned(), "m.yml:1:12: `x` of `defaults` is not found"),
    ] {
        let message = error(&text);
        assert!(message.starts_with(expected), "{text}\n  got      {message}\n  expected {expected}");
    }
}

#[test]
fn fusionbenchs_methods_with_a_model_for_each_task_are_read() {
    let pool = "modelpool:\n  models:\n    _pretrained_: org/base\n    a: org/a\n    b: org/b\n";
    for (method, id, set) in [
        ("EMRMerging", "emr", ""),
        ("TallMaskTaskArithmeticAlgorithm\n  tall_mask_lambda: 0.4\n  debug: 0", "tall_mask", "0.4"),
        ("MagnitudeDiffPruningAlgorithm", "magnitude_diff_pruning", ""),
    ] {
        let plain = plain(&format!("method:\n  _target_: fusion_bench.method.{method}\n{pool}"));
        assert_eq!(
            (plain.method.id, plain.experts.as_slice()),
            (id, &["a=org/a".to_owned(), "b=org/b".to_owned()][..])
        );
        assert!(plain.method.is_per_task());
        if !set.is_empty() {
            assert_eq!(plain.params.get("threshold").unwrap().to_string(), set);
        }
    }
    let text = format!("method:\n  _target_: fusion_bench.method.TallMaskTaskArithmeticAlgorithm\n{pool}");
    assert!(error(&text).contains("`tall_mask_lambda` is missing"), "{}", error(&text));
}

#[test]
fn depth_upscaling_becomes_slices() {
    let loaded = load(
        "method: {_target_: DepthUpscalingAlgorithm, layer_indices: [0, \"range(0,2)\", 1]}\nmodelpool: {models: {_pretrained_: m}}\n",
    );
    let ranges: Vec<_> = loaded.documents[0].slices.iter().map(|slice| slice.sources[0].layer_range.unwrap()).collect();
    assert_eq!(ranges, [(0, 1), (0, 2), (1, 2)]);
}

#[test]
fn fusionbenchs_defaults_name_other_files() {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("model/clip-vit/both.yaml", "defaults:\n  - base\n  - cars\n");
    write("model/clip-vit/base.yaml", "_pretrained_: org/base\n");
    write("model/clip-vit/cars.yaml", "cars: org/cars\n");
    write("modelpool/Pool/_template.yaml", "_target_: x.CLIPVisionModelPool\nmodels: ???\n");
    write(
        "modelpool/Pool/two.yaml",
        "defaults:\n  - Pool@: _template\n  - /model/clip-vit@models: both\n  - /dataset/test@test_datasets: [missing]\n",
    );
    write("method/ta.yaml", "_target_: fusion_bench.method.TaskArithmeticAlgorithm\nscaling_factor: 0.3\n");
    let path = |name: &str| folder.path().join(name);
    let loaded = Loaded::load(&path("method/ta.yaml"), Some(&path("modelpool/Pool/two.yaml"))).unwrap();
    let plain = loaded.documents[0].plain().unwrap();
    assert_eq!((plain.base.as_deref(), plain.experts), (Some("org/base"), vec!["cars=org/cars".to_owned()]));
    write("modelpool/Pool/loop.yaml", "defaults: [loop]\n");
    let error = Loaded::load(&path("method/ta.yaml"), Some(&path("modelpool/Pool/loop.yaml"))).unwrap_err().to_string();
    assert!(error.contains("deeper than"), "{error}");
    write("modelpool/Pool/out.yaml", "defaults: [../../../etc/passwd]\n");
    let error = Loaded::load(&path("method/ta.yaml"), Some(&path("modelpool/Pool/out.yaml"))).unwrap_err().to_string();
    assert!(error.contains("is not found"), "{error}");
}

#[test]
fn every_peer_has_a_base_that_its_method_can_have() {
    for peer in PEERS {
        let method = crate::fusion::find(peer.ours).unwrap();
        assert_eq!(peer.base == Base::Required, method.needs.base, "{}", peer.name);
    }
}
