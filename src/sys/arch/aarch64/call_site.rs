//! Does a call instruction end right before an address? Every true return address is behind one.

/// Bytes of the longest call instruction that is looked for; as many before the address have to be readable.
pub const LONGEST_CALL: usize = 4;

/// Whether `before`, the bytes right before an address, are a call (Arm ARM, C6.2: BL, BLR, BLRAA, BLRAAZ, BLRAB, BLRABZ).
pub fn ends_with_call(before: &[u8; LONGEST_CALL]) -> bool {
    let instruction = u32::from_le_bytes(*before);
    let is = |mask: u32, value: u32| instruction & mask == value;
    is(0xfc00_0000, 0x9400_0000) // BL
        || is(0xffff_fc1f, 0xd63f_0000) // BLR
        || is(0xffff_f81f, 0xd63f_081f) // BLRAAZ, BLRABZ: bit 10 is the key
        || is(0xffff_f800, 0xd73f_0800) // BLRAA, BLRAB
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_every_form_are_known_and_others_are_not() {
        for call in [
            0x9400_0001u32, // bl #4
            0x97ff_ffff,    // bl #-4
            0xd63f_0200,    // blr x16
            0xd63f_03c0,    // blr x30
            0xd63f_081f,    // blraaz x0
            0xd63f_0e3f,    // blrabz x17
            0xd73f_0a11,    // blraa x16, x17
            0xd73f_0c1f,    // blrab x0, sp
        ] {
            assert!(ends_with_call(&call.to_le_bytes()), "{call:x}");
        }
        for other in [
            0x1400_0001u32, // b #4
            0xd61f_0200,    // br x16
            0xd65f_03c0,    // ret
            0xd65f_0bff,    // retaa
            0xd503_201f,    // nop
            0,
        ] {
            assert!(!ends_with_call(&other.to_le_bytes()), "{other:x}");
        }
    }
}
