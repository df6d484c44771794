//! The command line, declared. What `--help`, the man pages and the completions say is written here.

use crate::engine::DeviceRequest;
use crate::engine::merge::{NotFinite, Vocab};
use crate::tasks::Split;
use crate::weights::DType;
use clap::builder::styling::{AnsiColor, Styles};
use clap::error::{ContextKind, ContextValue};
use clap::{Args as ClapArgs, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use std::path::PathBuf;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Cyan.on_default().bold())
    .usage(AnsiColor::Cyan.on_default().bold())
    .literal(AnsiColor::Green.on_default().bold())
    .placeholder(AnsiColor::Yellow.on_default())
    .error(AnsiColor::Red.on_default().bold())
    .valid(AnsiColor::Green.on_default());

const EXAMPLES: &str = "\
Without a command it opens the explorer; without a terminal it runs task arithmetic and prints the table.

Examples:
  fusebench                                       explore: pick a method, move its sliders
  fusebench run ties                              one recipe, evaluated on every task, as a table
  fusebench run task_arithmetic --set scaling=0.4 --json
  fusebench run task_arithmetic --sweep scaling=0:1:0.1 --split validation --out sweep/
  fusebench methods ties                          what a method does and what can be set

Exit codes: 0 done, 1 failed, 2 wrong arguments or input, 130 and 143 interrupted.";

/// Explore deep model fusion: move a slider, watch eight tasks respond
#[derive(Debug, Parser)]
#[command(name = "fusebench", version, styles = STYLES, max_term_width = 100, after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub global: Global,
    #[command(flatten)]
    pub explorer: Explorer,
}

/// The process's arguments; what clap has to say instead, help or a complaint, is printed and ends the process.
pub fn parse() -> Args {
    Args::try_parse().unwrap_or_else(|mut error| {
        forget_hidden(&mut error);
        error.exit()
    })
}

/// Takes commands that help does not list out of what a complaint suggests.
fn forget_hidden(error: &mut clap::Error) {
    let command = Args::command();
    let is_listed = |name: &String| command.find_subcommand(name).is_none_or(|found| !found.is_hide_set());
    if let Some(ContextValue::Strings(mut names)) = error.remove(ContextKind::SuggestedSubcommand) {
        names.retain(is_listed);
        if names.is_empty() {
            // Tips go with a suggestion; an empty list of them leaves an empty line.
            error.remove(ContextKind::Suggested);
        } else {
            error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(names));
        }
    }
}

#[derive(Debug, Clone, ClapArgs)]
pub struct Global {
    /// Folder with checkpoints and data instead of the zoo in the binary
    #[arg(long, global = true, value_name = "DIR")]
    pub zoo: Option<PathBuf>,
    /// A model merged or tuned elsewhere, beside the zoo's experts
    #[arg(long, global = true, value_name = "[NAME=]DIR")]
    pub with: Vec<String>,
    /// Where to compute: auto, cpu, vulkan[:N], cuda[:N]
    #[arg(long, global = true, value_name = "DEVICE", default_value = "auto")]
    pub device: DeviceRequest,
}

#[derive(Debug, Clone, Default, ClapArgs)]
#[command(next_help_heading = "Explorer")]
pub struct Explorer {
    /// Colour theme, by name
    #[arg(long, value_name = "NAME")]
    pub theme: Option<String>,
    /// Only ASCII characters
    #[arg(long)]
    pub ascii: bool,
    /// Lines instead of a full screen, for screen readers and dumb terminals
    #[arg(long)]
    pub plain: bool,
    /// Fewer frames and plainer drawing, for slow links
    #[arg(long)]
    pub low_bandwidth: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Fuse and evaluate one preset, or sweep a parameter
    Run(Run),
    /// Merge checkpoints on disk into one, out of core
    Merge(Merge),
    /// Turn a recipe of mergekit or FusionBench into ours
    Import(Import),
    /// Print a recipe as mergekit reads it
    Export(Export),
    /// Make a merged checkpoint again from its metadata, and compare
    Reproduce(Reproduce),
    /// Show what a checkpoint holds, tensor by tensor
    Inspect(Inspect),
    /// Compare experts with their base, and raise alarms
    Diff(Diff),
    /// List the fusion methods, or show one with its parameters
    Methods(Named),
    /// List the tasks with split sizes and recorded accuracies
    Tasks(Listing),
    /// List the checkpoints: base and experts
    Checkpoints(Listing),
    /// List the built-in presets, or print one
    Presets(Named),
    /// Build or check the zoo
    #[command(subcommand)]
    Zoo(Zoo),
    /// Tell what was found on this machine, and what was not and why
    Doctor(Listing),
    /// Print the JSON Schema of preset files
    Schema,
    /// Print a completion script
    Completions {
        /// The shell to complete in
        shell: Shell,
    },
    /// Print the manual page of fusebench or of a command
    Man {
        /// A command, such as `run`
        command: Option<String>,
    },
    /// Prove one device in this process, which a broken driver may take down
    #[command(hide = true)]
    Probe {
        /// Such as `vulkan:0`
        target: DeviceRequest,
        /// Refuse drivers that compute on the CPU
        #[arg(long)]
        hardware: bool,
    },
}

#[derive(Debug, Clone, ClapArgs)]
pub struct Listing {
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, ClapArgs)]
pub struct Named {
    /// Show this one
    pub name: Option<String>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

const RUN_EXAMPLES: &str = "\
Examples:
  fusebench run merging/ties --limit 200
  fusebench run my.toml --set scaling=0.4 --out results/
  fusebench run task_arithmetic --sweep scaling=0:1:0.1 --split validation --json
  fusebench run dare --seeds 5
  fusebench run ties --corrupt all:3
  fusebench run ties --against task_arithmetic
  fusebench run passthrough --with mine=merged/ --experts mine
  fusebench run dare --events | jq -c 'select(.type == \"task_done\")'";

#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = RUN_EXAMPLES)]
pub struct Run {
    /// A preset: a TOML file, or a built-in name such as `ties` (see `fusebench presets`)
    pub preset: String,
    /// Set a parameter of the method; may be given several times
    #[arg(long, value_name = "PARAM=VALUE")]
    pub set: Vec<String>,
    /// Run once for every value of a parameter
    #[arg(long, value_name = "PARAM=FROM:TO:STEP")]
    pub sweep: Option<String>,
    /// Run with so many seeds, from the recipe's own on: mean and spread
    #[arg(long, value_name = "N", conflicts_with = "sweep", value_parser = clap::value_parser!(u16).range(2..=1000))]
    pub seeds: Option<u16>,
    /// Run this preset too, and test the difference on the same samples
    #[arg(long, value_name = "PRESET", conflicts_with_all = ["sweep", "seeds"])]
    pub against: Option<String>,
    /// Combine these experts only, such as mnist,letters; those that `--with` brought too
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub experts: Vec<String>,
    /// Leave the experts of these tasks out; the tasks are evaluated all the same
    #[arg(long, value_name = "TASKS", value_delimiter = ',', conflicts_with = "experts")]
    pub unseen: Vec<String>,
    /// Evaluate on this split (default: as the preset says, else test)
    #[arg(long, value_enum)]
    pub split: Option<SplitArg>,
    /// Evaluate on corrupted images: gaussian_noise:3, several, or all:5 (see README); several give a table with the clean ones
    #[arg(long, value_name = "KIND[:1-5]", value_delimiter = ',')]
    pub corrupt: Vec<String>,
    /// At most so many samples a task, the same ones in every run
    #[arg(long, value_name = "N", value_parser = parse_limit)]
    pub limit: Option<usize>,
    /// Print one JSON report instead of the table
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// Print every event as one JSON object a line
    #[arg(long, help_heading = "Output", conflicts_with = "json")]
    pub events: bool,
    /// Write report.json, results.csv, recipe.toml and charts there
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub out: Option<PathBuf>,
    /// No progress on stderr
    #[arg(long, short, help_heading = "Output")]
    pub quiet: bool,
}

impl Run {
    /// What `fusebench run PRESET` means.
    pub fn preset(name: &str) -> Self {
        Self {
            preset: name.to_owned(),
            set: Vec::new(),
            sweep: None,
            seeds: None,
            against: None,
            experts: Vec::new(),
            unseen: Vec::new(),
            split: None,
            corrupt: Vec::new(),
            limit: None,
            json: false,
            events: false,
            out: None,
            quiet: false,
        }
    }
}

// What is to be merged; a doc comment here would become the help of every command that has it.
#[derive(Debug, Clone, ClapArgs)]
pub struct Recipe {
    /// A method (see `fusebench methods`), a preset, or a recipe: mergekit's or FusionBench's YAML, or TOML
    #[arg(value_name = "METHOD_OR_RECIPE")]
    pub method: String,
    /// The model that the experts were fine-tuned from
    #[arg(long, value_name = "DIR")]
    pub base: Option<String>,
    /// A model to merge, in order; may be given several times
    #[arg(long, value_name = "[NAME=]DIR", num_args = 1..)]
    pub expert: Vec<String>,
    /// FusionBench's model pool, instead of --base and --expert
    #[arg(long, value_name = "FILE", conflicts_with_all = ["base", "expert"])]
    pub pool: Option<PathBuf>,
    /// Set a parameter of the method; may be given several times
    #[arg(long, value_name = "PARAM=VALUE")]
    pub set: Vec<String>,
}

const MERGE_EXAMPLES: &str = "\
Models are folders, .safetensors files, sharded folders, or hub ids in the local cache (never downloaded).

Examples:
  fusebench merge task_arithmetic --base clip-b32/ --expert cars=clip-cars/ --expert sun397/ \\
      --set scaling=0.3 --out merged/
  fusebench merge ties --base org/base --expert org/math --expert org/code@main \\
      --dtype bf16 --shard-size 5GB --memory 4GB --out merged/
  fusebench merge mergekit.yml --out merged/             models as the recipe names them
  fusebench merge ties --pool pool.yaml --out merged/    FusionBench's model pool
  fusebench reproduce merged/";

#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = MERGE_EXAMPLES)]
pub struct Merge {
    #[command(flatten)]
    pub recipe: Recipe,
    /// Folder for the result; must not exist yet. Methods with one model per task write a folder for each expert into it
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Dtype of the result (default: each tensor's in the base)
    #[arg(long, value_enum)]
    pub dtype: Option<DTypeArg>,
    /// Split into files of at most so much, such as 5GB
    #[arg(long, value_name = "SIZE", value_parser = super::size::parse)]
    pub shard_size: Option<u64>,
    /// Use at most so much memory (default: a quarter of it)
    #[arg(long, value_name = "SIZE", value_parser = super::size::parse)]
    pub memory: Option<u64>,
    /// What to do with vocabularies of different sizes (default: an error)
    #[arg(long, value_enum)]
    pub vocab: Option<VocabArg>,
    /// Folder for the results of a recipe's earlier merges, which are kept (default: OUT.steps)
    #[arg(long, value_name = "DIR")]
    pub steps: Option<PathBuf>,
    /// What to do with results that are not finite
    #[arg(long, value_enum, default_value = "error")]
    pub nan: NanArg,
    /// Only say what it would take
    #[arg(long)]
    pub dry_run: bool,
    /// Print plan and result as JSON
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// Nothing on stderr
    #[arg(long, short, help_heading = "Output")]
    pub quiet: bool,
}

#[derive(Debug, Clone, ClapArgs)]
pub struct Reproduce {
    /// The merged checkpoint: its folder or file
    pub file: PathBuf,
    /// Where the base lies now
    #[arg(long, value_name = "DIR")]
    pub base: Option<String>,
    /// Where an expert lies now
    #[arg(long, value_name = "NAME=DIR")]
    pub expert: Vec<String>,
    /// Use at most so much memory (default: a quarter of it)
    #[arg(long, value_name = "SIZE", value_parser = super::size::parse)]
    pub memory: Option<u64>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// No progress on stderr
    #[arg(long, short)]
    pub quiet: bool,
}

const IMPORT_EXAMPLES: &str = "\
What is read:
  mergekit     models, slices, modules; parameters at every level as values, gradients and by filter; several
               documents that name each other; tokenizer and chat_template
  FusionBench  a method and a model pool, in one file (`fusion_bench … --cfg job`) or in two (--pool)

Examples:
  fusebench import mergekit.yml > preset.toml        a preset where one set of parameters says it all, else a recipe
  fusebench import ties_merging.yaml --pool clip-vit-base-patch32_TA8.yaml > preset.toml
  fusebench merge preset.toml --out merged/";

#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = IMPORT_EXAMPLES)]
pub struct Import {
    /// The YAML file
    pub file: PathBuf,
    /// FusionBench's model pool, where the file has only the method
    #[arg(long, value_name = "FILE")]
    pub pool: Option<PathBuf>,
    /// A recipe even where a preset would do
    #[arg(long)]
    pub recipe: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportTo {
    /// mergekit's YAML
    Mergekit,
}

#[derive(Debug, Clone, ClapArgs)]
pub struct Export {
    #[command(flatten)]
    pub recipe: Recipe,
    /// For which program
    #[arg(long, value_enum)]
    pub to: ExportTo,
    /// Dtype of the result
    #[arg(long, value_enum)]
    pub dtype: Option<DTypeArg>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum VocabArg {
    /// The first rows, which all models have
    Truncate,
    /// All tokens of all models, matched by the tokenizers
    Union,
    /// Embeddings and head of the base; only the rest is merged
    Backbone,
}

impl From<VocabArg> for Vocab {
    fn from(vocab: VocabArg) -> Self {
        match vocab {
            VocabArg::Truncate => Self::Truncate,
            VocabArg::Union => Self::Union,
            VocabArg::Backbone => Self::Backbone,
        }
    }
}

const INSPECT_EXAMPLES: &str = "\
Checkpoints are folders, .safetensors files, sharded folders, adapters, MODEL+ADAPTER, or hub ids in the local cache.

Examples:
  fusebench inspect clip-b32/
  fusebench inspect org/model+lora-math/ --stats
  fusebench inspect merged/ --filter '*.q_proj.weight' --stats --json

Exit codes: 0 fine or only warnings, 1 NaN or infinities found (or a warning, with --strict).";

#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = INSPECT_EXAMPLES)]
pub struct Inspect {
    /// Where it lies
    #[arg(value_name = "CKPT")]
    pub checkpoint: String,
    /// Read the values: mean, spread, extremes, zeros, norm, NaN and infinities; of every tensor with --filter
    #[arg(long)]
    pub stats: bool,
    /// Only tensors whose names match; `*` stands for any characters, a comma separates patterns
    #[arg(long, value_name = "GLOB")]
    pub filter: Option<String>,
    #[command(flatten)]
    pub report: Report,
}

/// How what was found is told.
#[derive(Debug, Clone, Copy, ClapArgs)]
pub struct Report {
    /// Fail on warnings too
    #[arg(long)]
    pub strict: bool,
    /// As JSON, with all numbers
    #[arg(long)]
    pub json: bool,
    /// No progress on stderr
    #[arg(long, short)]
    pub quiet: bool,
}

const DIFF_EXAMPLES: &str = "\
Alarms: experts of another ancestor, other vocabularies, NaN, dead tensors, other shapes, heads that came untied,
duplicates.

Examples:
  fusebench diff clip-b32/ clip-cars/ clip-sun397/
  fusebench diff org/base math=org/math code=org/code@main --rank
  fusebench diff base/ a/ b/ --json | jq '.alarms, .blocks[].experts[].relative'

Exit codes: 0 fine or only warnings, 1 errors (or warnings, with --strict), 2 wrong arguments.";

#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = DIFF_EXAMPLES)]
pub struct Diff {
    /// The model that the experts were fine-tuned from
    pub base: String,
    /// Experts, named after their folders or by hand
    #[arg(required = true, value_name = "[NAME=]EXPERT")]
    pub expert: Vec<String>,
    /// Also the effective rank of every task vector, which takes much longer
    #[arg(long)]
    pub rank: bool,
    #[command(flatten)]
    pub report: Report,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DTypeArg {
    F64,
    F32,
    F16,
    Bf16,
}

impl From<DTypeArg> for DType {
    fn from(dtype: DTypeArg) -> Self {
        match dtype {
            DTypeArg::F64 => Self::F64,
            DTypeArg::F32 => Self::F32,
            DTypeArg::F16 => Self::F16,
            DTypeArg::Bf16 => Self::Bf16,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NanArg {
    /// Fail, and name the tensor
    Error,
    /// Write them as they are
    Keep,
    /// Write zeros
    Zero,
}

impl From<NanArg> for NotFinite {
    fn from(nan: NanArg) -> Self {
        match nan {
            NanArg::Error => Self::Error,
            NanArg::Keep => Self::Keep,
            NanArg::Zero => Self::Zero,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SplitArg {
    Train,
    Validation,
    Test,
}

impl From<SplitArg> for Split {
    fn from(split: SplitArg) -> Self {
        match split {
            SplitArg::Train => Self::Train,
            SplitArg::Validation => Self::Validation,
            SplitArg::Test => Self::Test,
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum Zoo {
    /// Train base and experts from the training data; goes on where it was interrupted
    Train(ZooTrain),
    /// Evaluate base and experts again and compare with the recorded scores
    Verify(Listing),
    /// Make a zoo with further tasks: a head and an expert for each, from the base as it is
    Add(ZooAdd),
}

const ADD_EXAMPLES: &str = "\
DATA holds data/tasks.json and data/TASK/SPLIT.safetensors.gz, as assets/zoo does; assets/zoo/convert_tasks.py makes them of
arrays (.npz) and of folders of pictures.

Examples:
  fusebench zoo add more/ --out bigger/
  fusebench run ties --zoo bigger/ --unseen cifar10
  fusebench --zoo bigger/";

#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = ADD_EXAMPLES)]
pub struct ZooAdd {
    /// Folder with the new tasks' data
    pub data: PathBuf,
    /// Folder for the new zoo, which gets all that the zoo has (that in the binary, or --zoo)
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Steps to fine-tune an expert for [default: as the zoo's own]
    #[arg(long, value_name = "N", value_parser = parse_limit)]
    pub steps: Option<usize>,
    /// Learning rate of experts [default: as the zoo's own]
    #[arg(long, value_parser = parse_rate)]
    pub rate: Option<f64>,
    /// Seed of order and augmentation
    #[arg(long)]
    pub seed: Option<u64>,
    /// Print the recorded scores as JSON
    #[arg(long)]
    pub json: bool,
    /// No progress on stderr
    #[arg(long, short)]
    pub quiet: bool,
}

#[derive(Debug, Clone, ClapArgs)]
pub struct ZooTrain {
    /// Folder for checkpoints, heads and scores
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Folder with the training data
    #[arg(long, value_name = "DIR", default_value = "assets/zoo")]
    pub data: PathBuf,
    /// Seed of initialisation, order and augmentation (default: that of the zoo that is shipped)
    #[arg(long)]
    pub seed: Option<u64>,
    /// Further seeds to train, into DIR/seeds, so that the scores show their spread
    #[arg(long, value_name = "SEED,…", value_delimiter = ',')]
    pub further_seeds: Vec<u64>,
    /// JSON file of the options that decide the result, such as a zoo's training.json
    #[arg(long, value_name = "FILE")]
    pub options: Option<PathBuf>,
    /// Print the recorded scores as JSON
    #[arg(long)]
    pub json: bool,
    /// No progress on stderr
    #[arg(long, short)]
    pub quiet: bool,
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if rate > 0.0 && f64::is_finite(rate) => Ok(rate),
        _ => Err("it takes a positive number".to_owned()),
    }
}

fn parse_limit(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("a whole number, one or more, is wanted".to_owned()),
        Ok(limit) => Ok(limit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_declaration_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn help_is_brief_and_fits_80_columns() {
        let help = Args::command().term_width(80).render_help().to_string();
        assert!(help.lines().count() <= 60, "{} lines", help.lines().count());
        for line in help.lines() {
            assert!(line.chars().count() <= 90, "{line}");
        }
        for word in ["run", "methods", "doctor", "Examples:", "Exit codes:"] {
            assert!(help.contains(word), "{word} is missing");
        }
        assert!(!help.contains("probe"), "hidden");
    }
}
