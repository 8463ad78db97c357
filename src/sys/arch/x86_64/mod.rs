//! x86_64, which Go calls amd64, with the calling convention of System V.

pub mod call;
pub mod call_site;
pub mod float;
pub mod go_layout;
pub mod page_size;
pub mod registers;
pub mod signal_frame;
pub mod stack_switch;
pub mod system_call;
pub mod thread_pointer;
