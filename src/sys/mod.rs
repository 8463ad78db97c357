//! What the system gives: pages, time, errno, thread-local storage, locks' sleeping, fork.
//!
//! Contract of this folder, which is all that another system or processor has to supply: nothing here allocates with
//! malloc, nothing panics, and every function marked `Context: hook` leaves errno alone or says that it doesn't.

mod glibc;
pub mod guard;
mod linux;
pub mod lock;
pub mod thread;
mod x86_64;

pub use glibc::errno;
pub use linux::{clock, pages, stderr};
pub use x86_64::{call, float, registers};
