//! The command line, declared. What `--help`, the man pages and the completions say is written here.

use crate::engine::DeviceRequest;
use crate::tasks::Split;
use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
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

#[derive(Debug, Clone, ClapArgs)]
pub struct Global {
    /// Folder with checkpoints and data instead of the zoo in the binary
    #[arg(long, global = true, value_name = "DIR")]
    pub zoo: Option<PathBuf>,
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
    /// Evaluate on this split (default: as the preset says, else test)
    #[arg(long, value_enum)]
    pub split: Option<SplitArg>,
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
            split: None,
            limit: None,
            json: false,
            events: false,
            out: None,
            quiet: false,
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

fn parse_limit(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("a whole number, one or more, is wanted".to_owned()),
        Ok(limit) => Ok(limit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_declaration_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn help_is_brief_and_fits_80_columns() {
        let help = Args::command().term_width(80).render_help().to_string();
        assert!(help.lines().count() <= 50, "{} lines", help.lines().count());
        for line in help.lines() {
            assert!(line.chars().count() <= 90, "{line}");
        }
        for word in ["run", "methods", "doctor", "Examples:", "Exit codes:"] {
            assert!(help.contains(word), "{word} is missing");
        }
        assert!(!help.contains("probe"), "hidden");
    }
}
