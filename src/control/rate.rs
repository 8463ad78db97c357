//! The sampling rate, as programs set it.

use core::fmt;

use crate::record::{sampler, settings};

/// Why [`set_rate`] changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateRefused {
    /// What was asked for.
    pub bytes: usize,
}

impl fmt::Display for RateRefused {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.bytes as u64 > sampler::MAX_INTERVAL {
            true => write!(
                f,
                "a sampling rate of {} bytes is too large: at most {}",
                self.bytes,
                sampler::MAX_INTERVAL
            ),
            false => write!(
                f,
                "the sampling rate can't become {} bytes: sampling is off for good, since another allocator owns part of malloc's \
                 family, or the rate has been changed too often",
                self.bytes
            ),
        }
    }
}

impl std::error::Error for RateRefused {}

/// Sets the sampling interval, which Go calls a rate: the mean bytes between samples. 1 samples every allocation, 0 none; the
/// default is 512 KiB. Every thread's next allocation follows it, and it wins over the environment's `CGOHEAP=rate=`. From any
/// thread. Context: outside hooks.
///
/// # Errors
/// Above 2^40 bytes; when sampling is off for good, because another allocator has replaced part of malloc's family in a
/// program that captures the whole process; and after some 2^28 changes.
pub fn set_rate(bytes: usize) -> Result<(), RateRefused> {
    settings::read_environment_once(); // else it would be read later, and win
    match sampler::set_interval(bytes as u64) {
        true => Ok(()),
        false => Err(RateRefused { bytes }),
    }
}

/// The mean bytes between samples; 0 is off. From any thread.
pub fn rate() -> usize {
    settings::read_environment_once();
    sampler::interval() as usize
}
