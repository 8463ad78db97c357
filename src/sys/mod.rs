//! What the system gives: pages, time, errno, thread-local storage, locks' sleeping, fork.
//!
//! Contract of this folder, which is all that another system or processor has to supply: nothing here allocates with
//! malloc, nothing panics, and every function marked `Context: hook` leaves errno alone or says that it doesn't.

pub mod allocator;
pub mod clock;
pub mod errno;
pub mod float;
pub mod fork;
pub mod pages;
pub mod thread;
