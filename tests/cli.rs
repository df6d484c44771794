//! The command line as scripts see it: the real binary, its output, its exit codes.

mod cli {
    mod bad_input;
    mod documents;
    mod faults;
    mod inspect;
    mod lists;
    mod merge;
    mod mixture;
    mod onnx;
    mod program;
    mod recipes;
    mod run;
}
