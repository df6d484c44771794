//! The fusebench binary: arguments in, exit code out.

fn main() {}
