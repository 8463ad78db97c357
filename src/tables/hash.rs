//! One small hash for our tables: multiply and fold, as good as they need and a few cycles a word.

const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

/// Folds `word` into `state`.
#[inline(always)]
pub const fn mix(state: u64, word: u64) -> u64 {
    let product = ((state ^ word) as u128).wrapping_mul(MULTIPLIER as u128 | 1 << 64);
    (product as u64) ^ (product >> 64) as u64 ^ state.rotate_left(29)
}

/// Folds bytes into `state`, eight at a time.
pub fn mix_bytes(mut state: u64, bytes: &[u8]) -> u64 {
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        let mut eight = [0u8; 8];
        eight.copy_from_slice(word);
        state = mix(state, u64::from_le_bytes(eight));
    }
    let mut last = [0u8; 8];
    for (to, from) in last.iter_mut().zip(words.remainder()) {
        *to = *from;
    }
    mix(mix(state, u64::from_le_bytes(last)), bytes.len() as u64)
}
