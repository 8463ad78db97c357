//! The functions of `include/cgoheap.h` for the check at start.

use core::ffi::{c_int, c_void};

use super::{Code, guarded};
use crate::sys::call::{Call, entries};
use crate::sys::thread;
use crate::tables::frame::End;
use crate::unwind;

entries! {
    /// The check at start: see [`crate::unwind::go`].
    cgoheap_go_probe => go_probe;
}

/// `struct cgoheap_go_probe`.
#[repr(C)]
pub struct GoProbe {
    /// Return address into what should be `runtime.asmcgocall`.
    pub boundary: u64,
    /// Return address into what should be `crosscall2`; 0 when Go was not called from C.
    pub callback: u64,
    /// How many of `pcs` were found.
    pub n_pcs: u64,
    /// Go return addresses, innermost first.
    pub pcs: [u64; 64],
}

/// Behind the entry `cgoheap_go_probe`: the calling thread looks at its own stack.
pub(crate) unsafe extern "C" fn go_probe(call: &Call) -> *mut c_void {
    let code = guarded(|| {
        // SAFETY: null or a writable probe, says the contract.
        let Some(out) = (unsafe { call.pointer(0).cast::<GoProbe>().as_mut() }) else {
            return Code::Null;
        };
        // SAFETY: the calling thread's own state, only read.
        let found = unwind::probe(call.registers(), unsafe { &*thread::state() }, &mut out.pcs);
        let found = match found {
            Ok(found) => found,
            Err(End::NoUnwindInfo) => return Code::NoTables,
            Err(_) => return Code::GoLayout,
        };
        (out.boundary, out.callback, out.n_pcs) = (found.boundary, found.callback, found.length as u64);
        Code::Ok
    });
    code as isize as *mut c_void
}

/// Accepts a probe that Go has checked.
///
/// # Safety
/// `probe` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cgoheap_go_join(probe: *const GoProbe) -> c_int {
    guarded(|| {
        // SAFETY: null or valid, says the caller.
        let Some(probe) = (unsafe { probe.as_ref() }) else {
            return Code::Null;
        };
        if probe.boundary == 0 {
            return Code::Argument;
        }
        unwind::go::join(probe.boundary, probe.callback);
        Code::Ok
    })
}

/// Go's check failed: Go frames stay off.
#[unsafe(no_mangle)]
pub extern "C" fn cgoheap_go_refuse() {
    unwind::go::refuse();
}
