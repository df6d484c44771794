//! Mixtures of experts from FusionBench's YAML and from recipes, as scripts make them.

use super::program::{command, run};
use fusebench::weights::{Checkpoint, DType, Data, StateDict, Tensor, write_safetensors};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const LAYERS: usize = 2;

/// A Llama in miniature; every tensor's values say whose they are. Odd names are bf16.
fn models() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (mark, name) in ["base", "math", "code"].iter().enumerate() {
        let mut tensors = Vec::new();
        let mut add = |name: String, shape: &[usize]| {
            let value = (mark * 64 + tensors.len()) as f32;
            let data = Data::Float(vec![value; shape.iter().product()]);
            tensors.push(Tensor { name, shape: shape.to_vec(), dtype: DType::Bf16, data });
        };
        add("model.embed_tokens.weight".into(), &[8, 4]);
        for layer in 0..LAYERS {
            let at = format!("model.layers.{layer}");
            for part in ["q", "k", "v", "o"] {
                add(format!("{at}.self_attn.{part}_proj.weight"), &[4, 4]);
            }
            add(format!("{at}.mlp.gate_proj.weight"), &[6, 4]);
            add(format!("{at}.mlp.up_proj.weight"), &[6, 4]);
            add(format!("{at}.mlp.down_proj.weight"), &[4, 6]);
            add(format!("{at}.input_layernorm.weight"), &[4]);
            add(format!("{at}.post_attention_layernorm.weight"), &[4]);
        }
        add("model.norm.weight".into(), &[4]);
        add("lm_head.weight".into(), &[8, 4]);
        let path = folder.path().join(name);
        write_safetensors(&path.join("model.safetensors"), &StateDict::new(tensors), &BTreeMap::new()).unwrap();
        let config = r#"{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4,
            "intermediate_size": 6, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2,
            "vocab_size": 8, "torch_dtype": "bfloat16", "mlp_bias": false, "tie_word_embeddings": false}"#;
        fs::write(path.join("config.json"), config).unwrap();
    }
    folder
}

fn within(folder: &Path, args: &[&str], code: i32) -> String {
    let output = command(args).current_dir(folder).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}\n{text}");
    text
}

/// Expert by expert the feed-forward weights of these models, everything else from the base.
fn check(folder: &Path, out: &str, experts: &[&str]) -> Checkpoint {
    let model = |name: &str| Checkpoint::open(&folder.join(name)).unwrap();
    let (mixture, base) = (model(out), model("base"));
    let values = |model: &Checkpoint, name: &str| model.require(name).unwrap().to_vec();
    for layer in 0..LAYERS {
        let at = format!("model.layers.{layer}");
        for (expert, name) in experts.iter().enumerate() {
            for (theirs, ours) in [("gate_proj", "w1"), ("down_proj", "w2"), ("up_proj", "w3")] {
                let got = values(&mixture, &format!("{at}.block_sparse_moe.experts.{expert}.{ours}.weight"));
                assert_eq!(got, values(&model(name), &format!("{at}.mlp.{theirs}.weight")), "{layer} {name} {ours}");
            }
        }
        let router = mixture.require(&format!("{at}.block_sparse_moe.gate.weight")).unwrap();
        assert_eq!((router.info.shape.clone(), router.info.dtype), (vec![experts.len(), 4], DType::Bf16));
    }
    // Attention too, which FusionBench leaves out.
    for info in base.tensors().iter().filter(|info| !info.name.contains(".mlp.")) {
        assert_eq!(values(&mixture, &info.name), values(&base, &info.name), "{}", info.name);
    }
    let made = base.tensors().len() - 3 * LAYERS + (3 * experts.len() + 1) * LAYERS;
    assert_eq!(mixture.tensors().len(), made);
    let config: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(folder.join(out).join("config.json")).unwrap()).unwrap();
    assert_eq!((&config["model_type"], &config["architectures"][0]), (&"mixtral".into(), &"MixtralForCausalLM".into()));
    assert_eq!((&config["num_local_experts"], &config["num_experts_per_tok"]), (&experts.len().into(), &2.into()));
    assert_eq!((&config["hidden_size"], config.get("mlp_bias")), (&4.into(), None));
    mixture
}

fn routers(mixture: &Checkpoint) -> Vec<f32> {
    let is_router = |name: &str| name.ends_with(".gate.weight");
    mixture.iter().filter(|tensor| is_router(&tensor.info.name)).flat_map(|tensor| tensor.to_vec()).collect()
}

const POOL: &str = "modelpool:\n  _target_: fusion_bench.modelpool.CausalLMPool\n  models:\n    _pretrained_: base\n    expert_1: math\n    expert_2: code\n";

#[test]
fn fusion_benchs_configurations_make_models_that_are_whole() {
    let folder = models();
    let at = folder.path();
    let method = "method:\n  _target_: fusion_bench.method.MixtralForCausalLMMergingAlgorithm\n  experts_per_token: 2\n  save_checkpoint: null\n";
    fs::write(at.join("merging.yml"), format!("{method}{POOL}")).unwrap();
    let said = within(at, &["merge", "merging.yml", "--out", "merged"], 0);
    assert!(said.contains("Mixture of experts of 3 models") && said.contains("routers are not trained"), "{said}");
    let merged = check(at, "merged", &["math", "code"]);
    let spread = |values: &[f32]| (values.iter().map(|x| x * x).sum::<f32>() / values.len() as f32).sqrt();
    let random = routers(&merged);
    assert!((0.008..0.04).contains(&spread(&random)), "{random:?}");
    assert_eq!(run(&["reproduce", at.join("merged").to_str().unwrap()]).code, 0);

    let method = "method: {_target_: fusion_bench.method.MixtralForCausalLMUpscalingAlgorithm, num_experts: 4, experts_per_token: 2}\n";
    fs::write(at.join("up.yml"), format!("{method}modelpool: {{models: {{_pretrained_: base}}}}\n")).unwrap();
    within(at, &["merge", "up.yml", "--out", "up"], 0);
    check(at, "up", &["base"; 4]);
    assert_eq!(run(&["reproduce", at.join("up").to_str().unwrap()]).code, 0);
}

#[test]
fn a_recipe_says_what_the_routers_are() {
    let folder = models();
    let at = folder.path();
    let recipe = |mixture: &str| {
        format!(
            "[[merge]]\nmethod = \"passthrough\"\nbase_model = \"base\"\nmodels = [{{ model = \"math\" }}, {{ model = \"base\" }}]\nmixture = {mixture}\n"
        )
    };
    let mut seen = Vec::new();
    for (out, mixture) in [
        ("zero", "{ router = \"zero\" }"),
        ("one", "{ seed = 1 }"),
        ("two", "{ seed = 2 }"),
        ("uniform", "{ router = \"uniform\" }"),
    ] {
        fs::write(at.join("m.toml"), recipe(mixture)).unwrap();
        within(at, &["merge", "m.toml", "--out", out], 0);
        seen.push(routers(&check(at, out, &["math", "base"])));
    }
    assert!(seen[0].iter().all(|x| *x == 0.0) && seen[1] != seen[2], "{seen:?}");
    // 1/√4, for PyTorch's initialisation of a linear layer of width 4.
    let largest = seen[3].iter().fold(0.0f32, |most, x| most.max(x.abs()));
    assert!((0.25..=0.5).contains(&largest) && seen[3].iter().any(|x| *x < 0.0), "{seen:?}");
    for (mixture, expected) in [
        ("{ experts_per_token = 3 }", "there are 2"),
        ("{ copies = 0 }", "0 experts"),
        ("{ router = \"hidden\" }", "`random`, `normal`, `uniform` or `zero`"),
        ("{ kopies = 2 }", "did you mean `copies`?"),
    ] {
        fs::write(at.join("m.toml"), recipe(mixture)).unwrap();
        let said = within(at, &["merge", "m.toml", "--out", "bad"], 2);
        assert!(said.contains(expected) && said.contains("m.toml:5:"), "{said}");
    }
    fs::write(at.join("m.toml"), recipe("{}")).unwrap();
    let said = within(at, &["export", "m.toml", "--to", "mergekit"], 2);
    assert!(said.contains("mixture of experts"), "{said}");
}

#[test]
fn mergekit_moes_own_form_is_read() {
    let folder = models();
    let at = folder.path();
    let file = |gate: &str, more: &str| {
        let experts = "experts:\n  - source_model: math\n    positive_prompts: [add]\n  - source_model: code\n    positive_prompts: [fn]\n";
        fs::write(at.join("moe.yml"), format!("base_model: base\n{gate}dtype: bfloat16\n{experts}{more}")).unwrap();
    };
    file("gate_mode: random\n", "");
    let said = within(at, &["merge", "moe.yml", "--out", "moe"], 0);
    assert!(said.contains("line 6: `positive_prompts` has no effect on routers that are made at random"), "{said}");
    let random = routers(&check(at, "moe", &["math", "code"]));
    let square = random.iter().map(|x| x * x).sum::<f32>() / random.len() as f32;
    assert!((0.3..3.0).contains(&square), "mergekit's have σ = 1: {random:?}");
    assert_eq!(run(&["reproduce", at.join("moe").to_str().unwrap()]).code, 0);
    // As a recipe of ours it says the same.
    let recipe = command(&["import", "moe.yml"]).current_dir(at).output().unwrap();
    fs::write(at.join("moe.toml"), recipe.stdout).unwrap();
    within(at, &["merge", "moe.toml", "--out", "again"], 0);
    assert_eq!(routers(&check(at, "again", &["math", "code"])), random);
    for (gate, more, expected) in [
        ("", "", "`gate_mode: hidden`, which prompts decide"),
        ("gate_mode: cheap_embed\n", "", "gate_mode: random"),
        ("gate_mode: rendom\n", "", "`gate_mode` cannot be `rendom`"),
        ("gate_mode: random\n", "    residual_scale: 0.5\n", "only read at 1"),
        ("gate_mode: random\n", "experts_per_token: 3\n", "there are 2"),
        ("gate_mode: random\n", "architecture: qwen\n", "only `mixtral` is written"),
        ("gate_mode: random\n", "shared_experts: [{source_model: base}]\n", "no shared experts"),
    ] {
        file(gate, more);
        let said = within(at, &["merge", "moe.yml", "--out", "bad"], 2);
        assert!(said.contains(expected) && said.contains("moe.yml:"), "{said}");
        assert!(!at.join("bad").exists());
    }
}

#[test]
fn models_that_are_not_built_so_are_refused() {
    let folder = models();
    let at = folder.path();
    let tensor = Tensor {
        name: "model.layers.0.mlp.fc1.weight".into(),
        shape: vec![2, 2],
        dtype: DType::F32,
        data: Data::Float(vec![0.5; 4]),
    };
    let path = at.join("other/model.safetensors");
    write_safetensors(&path, &StateDict::new(vec![tensor]), &BTreeMap::new()).unwrap();
    let recipe = "[[merge]]\nmethod = \"passthrough\"\nmodels = [{ model = \"other\" }]\nmixture = { copies = 2 }\n";
    fs::write(at.join("m.toml"), recipe).unwrap();
    let said = within(at, &["merge", "m.toml", "--out", "bad"], 2);
    assert!(said.contains("no `mlp.gate_proj.weight`") && said.contains("Llama and Mistral"), "{said}");
}
