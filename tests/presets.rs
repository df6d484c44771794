//! The presets that come with the program: complete, commented, and fit for the zoo that comes with it.

use fusebench::engine::{BUILTIN, Preset};
use fusebench::fusion::METHODS;
use fusebench::params::ParamSet;
use fusebench::zoo::Zoo;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("presets")
}

/// Names (`family/method`) of the files in the folder.
fn files() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for family in fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()) {
        for file in fs::read_dir(&family).unwrap().map(|entry| entry.unwrap().path()) {
            let family = family.file_name().unwrap().to_string_lossy().into_owned();
            names.insert(format!("{family}/{}", file.file_stem().unwrap().to_string_lossy()));
        }
    }
    names
}

#[test]
fn the_list_in_the_binary_and_the_folder_are_the_same() {
    let listed: BTreeSet<String> = BUILTIN.iter().map(|preset| preset.name.to_owned()).collect();
    assert_eq!(listed, files());
}

#[test]
fn every_method_has_a_preset_in_its_family() {
    for method in METHODS {
        let preset = BUILTIN.iter().find(|preset| preset.short() == method.id);
        let preset = preset.unwrap_or_else(|| panic!("no preset for {}", method.id));
        assert_eq!(preset.name, format!("{}/{}", method.family.title().to_lowercase(), method.id));
        assert_eq!(Preset::resolve(method.id).unwrap().method().id, method.id);
    }
}

#[test]
fn presets_explain_themselves_and_name_every_parameter() {
    for preset in BUILTIN {
        let mut lines = preset.text.lines();
        assert_eq!(lines.next(), Some("#:schema ../../assets/schema/preset.json"), "{}", preset.name);
        let comments = lines.take_while(|line| line.starts_with('#')).count();
        assert!(comments >= 2, "{} has {comments} lines of comment", preset.name);
        for spec in Preset::resolve(preset.name).unwrap().method().specs {
            let mentioned = preset.text.lines().any(|line| {
                line.trim_start_matches("# ").strip_prefix(spec.name).is_some_and(|rest| rest.starts_with(" = "))
            });
            assert!(mentioned, "{} does not show `{}`", preset.name, spec.name);
        }
    }
}

#[test]
fn every_preset_becomes_a_job_on_the_zoo() {
    let zoo = Zoo::embedded().unwrap();
    for preset in BUILTIN {
        let preset = Preset::load(&folder().join(preset.name).with_extension("toml")).unwrap();
        let job = preset.job(&zoo).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(job.recipe.method, preset.method().id);
        assert!(!job.recipe.experts.is_empty() && job.tasks.len() == zoo.tasks().len(), "{}", preset.label());

        let written = Preset::from_job(&job).unwrap().to_toml();
        assert_eq!(Preset::parse(&written, "written").unwrap().job(&zoo).unwrap(), job, "{}", preset.label());
    }
}

#[test]
fn presets_start_from_the_defaults() {
    for preset in BUILTIN {
        let preset = Preset::resolve(preset.name).unwrap();
        let specs = preset.method().specs;
        assert_eq!(preset.params().changed(specs), ParamSet::default(), "{}", preset.label());
    }
}
