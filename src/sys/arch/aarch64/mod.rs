//! aarch64, which Go calls arm64, with the calling convention AAPCS64.

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
