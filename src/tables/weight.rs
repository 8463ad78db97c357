//! How much a sampled block stands for, and sums of that.

/// How much one sampled block stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weight {
    /// 1/p: blocks that this one stands for; at least 1.
    pub objects: f64,
}

impl Weight {
    /// The weight of a block of `size` bytes sampled at `interval`. Context: hook.
    pub fn of(size: u64, interval: u64) -> Weight {
        if interval <= 1 || size == 0 {
            return Weight { objects: 1.0 };
        }
        Weight {
            objects: 1.0 / -libm::expm1(-(size as f64) / interval as f64),
        }
    }

    /// Estimated bytes: S/p to the nearest byte.
    pub fn bytes(self, size: u64) -> u64 {
        self.times(size)
    }

    /// Unbiased estimate of what this sample adds to the variance of the estimated bytes, in square bytes:
    /// S^2 (1 - p) / p^2 = S/p (S/p - S).
    pub fn variance(self, size: u64) -> u128 {
        let bytes = self.bytes(size);
        u128::from(bytes) * u128::from(bytes.saturating_sub(size))
    }

    /// Estimated blocks in units of 2^-16: adding and taking off the same number leaves exactly nothing.
    pub fn objects_fixed(self) -> u64 {
        self.times(FIXED_ONE)
    }

    /// `factor` times the weight, rounded, in integers: free takes its sample off the totals without touching the program's
    /// floating-point environment.
    fn times(self, factor: u64) -> u64 {
        const MANTISSA_BITS: u32 = f64::MANTISSA_DIGITS - 1;
        let bits = self.objects.to_bits();
        let mantissa = bits & ((1 << MANTISSA_BITS) - 1) | 1 << MANTISSA_BITS;
        // The weight is mantissa / 2^shift. It is at least 1, and below 2^52 for every interval that there is.
        let exponent = (bits >> MANTISSA_BITS) as u32 & 0x7FF;
        let shift = (1023 + MANTISSA_BITS).saturating_sub(exponent).min(127);
        let product = u128::from(mantissa) * u128::from(factor);
        let rounded = (product + (1 << shift >> 1)) >> shift;
        u64::try_from(rounded).unwrap_or(u64::MAX)
    }
}

/// One block in the fixed-point form of [`Weight::objects_fixed`].
pub const FIXED_ONE: u64 = 1 << 16;

/// Fixed-point blocks, rounded to whole ones.
pub const fn whole_objects(fixed: u64) -> u64 {
    fixed.saturating_add(FIXED_ONE / 2) / FIXED_ONE
}

/// Totals of what was allocated at one stack.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    /// Estimated blocks, in units of 2^-16.
    pub objects_fixed: u64,
    /// Estimated bytes.
    pub bytes: u64,
    /// Variance of the estimate of bytes.
    pub variance: f64,
}

impl Totals {
    /// The larger of each.
    #[must_use]
    pub fn at_least(self, other: Totals) -> Totals {
        Totals {
            objects_fixed: self.objects_fixed.max(other.objects_fixed),
            bytes: self.bytes.max(other.bytes),
            variance: self.variance.max(other.variance),
        }
    }
}

/// Half the width of the 95 % interval of an estimate with this variance, in bytes. Normal approximation: good from some
/// ten samples on; below, read it as "a few samples only".
pub fn margin95(variance: f64) -> u64 {
    (1.96 * variance.max(0.0).sqrt() + 0.5) as u64
}
