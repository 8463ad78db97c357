//! The environment, as far as it may be trusted.

use core::ffi::{CStr, c_char};

// SAFETY: as in secure_getenv(3).
unsafe extern "C" {
    fn secure_getenv(name: *const c_char) -> *const c_char;
}

/// The value of an environment variable; `None` when there is none, and always in a setuid program (secure_getenv(3)). It
/// stays valid until the program changes its environment. Context: hook.
pub fn variable(name: &CStr) -> Option<&'static [u8]> {
    // SAFETY: a zero-terminated name; the result is null or a zero-terminated string of the environment.
    unsafe {
        let value = secure_getenv(name.as_ptr());
        (!value.is_null()).then(|| CStr::from_ptr(value).to_bytes())
    }
}
