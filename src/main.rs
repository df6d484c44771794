//! The fusebench binary: arguments in, exit code out.

// Evaluation and training allocate and free the same large buffers all the time. The system's allocator hands them back
// to the kernel, which fills every page with zeros again: a third of the time of a training step.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    fusebench::cli::main()
}
