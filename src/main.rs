//! The fusebench binary: arguments in, exit code out.

fn main() -> std::process::ExitCode {
    fusebench::cli::main()
}
