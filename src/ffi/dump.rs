//! The functions of `include/cgoheap.h` for dumps.

use core::ffi::{c_int, c_void};

use super::{Code, guarded};
use crate::control::dump;
use crate::record::trigger::{self, Reason};

/// Starts the thread that dumps in a program without Go.
#[unsafe(no_mangle)]
pub extern "C" fn cgoheap_dump_start() -> c_int {
    guarded(|| match dump::start() {
        Ok(true) => Code::Ok,
        Ok(false) => Code::Argument,
        Err(_) => Code::NoMemory,
    })
}

/// What the environment asks for.
///
/// # Safety
/// Both are null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cgoheap_dump_asked(automatic: *mut c_int, signal: *mut c_int) -> c_int {
    guarded(|| {
        // SAFETY: null or valid, says the caller.
        let (Some(automatic), Some(signal)) = (unsafe { (automatic.as_mut(), signal.as_mut()) }) else {
            return Code::Null;
        };
        crate::record::settings::read_environment_once();
        let (thresholds, number) = dump::settings().unwrap_or((false, 0));
        (*automatic, *signal) = (c_int::from(thresholds), number);
        Code::Ok
    })
}

/// Blocks until a dump is due.
///
/// # Safety
/// `reason` is null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cgoheap_dump_wait(reason: *mut c_int) -> c_int {
    guarded(|| {
        // SAFETY: null or valid, says the caller.
        let Some(reason) = (unsafe { reason.as_mut() }) else {
            return Code::Null;
        };
        *reason = trigger::wait() as c_int;
        Code::Ok
    })
}

/// Writes a profile to the next file. Null: there is none this time.
///
/// # Safety
/// `bytes` is null or points to `length` readable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cgoheap_dump_store(bytes: *const c_void, length: usize, reason: c_int) -> c_int {
    guarded(|| {
        let Some(reason) = Reason::from_number(reason) else {
            return Code::Argument;
        };
        if bytes.is_null() {
            trigger::rearm(reason);
            return Code::Ok;
        }
        // SAFETY: `length` readable bytes, says the caller.
        let bytes = unsafe { core::slice::from_raw_parts(bytes.cast::<u8>(), length) };
        match dump::store(bytes, reason) {
            Ok(_) => Code::Ok,
            Err(error) => Code::of(&error),
        }
    })
}
