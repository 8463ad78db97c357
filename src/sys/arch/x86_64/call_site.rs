//! Does a call instruction end right before an address? Every true return address is behind one.

/// Bytes of the longest call instruction that is looked for; as many before the address have to be readable.
pub const LONGEST_CALL: usize = 7;

/// Whether `before`, the bytes right before an address, end with a near call (Intel SDM 2A, CALL: E8, FF /2).
pub fn ends_with_call(before: &[u8; LONGEST_CALL]) -> bool {
    if before[LONGEST_CALL - 5] == 0xe8 {
        return true;
    }
    (2..=LONGEST_CALL).any(|length| {
        let instruction = &before[LONGEST_CALL - length..];
        instruction[0] == 0xff && indirect_length(instruction) == Some(length)
    })
}

/// Length of the `FF /2` that `bytes` begin with.
fn indirect_length(bytes: &[u8]) -> Option<usize> {
    const CALL: u8 = 2;
    let modrm = *bytes.get(1)?;
    let (mode, operation, base) = (modrm >> 6, modrm >> 3 & 7, modrm & 7);
    if operation != CALL {
        return None;
    }
    let (sib, displacement) = match (mode, base) {
        (3, _) => return Some(2),
        (0, 5) => (0, 4),
        (0, 4) => (1, if bytes.get(2)? & 7 == 5 { 4 } else { 0 }),
        (0, _) => (0, 0),
        (1, base) => (usize::from(base == 4), 1),
        (_, base) => (usize::from(base == 4), 4),
    };
    Some(2 + sib + displacement)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_every_form_are_known_and_others_are_not() {
        let before = |instruction: &[u8]| {
            let mut bytes = [0x90; LONGEST_CALL];
            bytes[LONGEST_CALL - instruction.len()..].copy_from_slice(instruction);
            ends_with_call(&bytes)
        };
        for call in [
            &[0xe8, 1, 2, 3, 4][..],
            &[0xff, 0xd0],                   // call rax
            &[0x41, 0xff, 0xd3],             // call r11
            &[0xff, 0x10],                   // call [rax]
            &[0xff, 0x14, 0xc8],             // call [rax + 8 * rcx]
            &[0xff, 0x14, 0x25, 0, 0, 0, 1], // call [0x1000000]
            &[0xff, 0x15, 1, 2, 3, 4],       // call [rip + ...]
            &[0xff, 0x53, 0x18],             // call [rbx + 24]
            &[0x41, 0xff, 0x54, 0x24, 0x10], // call [r12 + 16]
            &[0xff, 0x90, 0, 1, 0, 0],       // call [rax + 256]
            &[0xff, 0x94, 0x24, 0, 1, 0, 0], // call [rsp + 256]
        ] {
            assert!(before(call), "{call:x?}");
        }
        for other in [
            &[0xff, 0xe0][..], // jmp rax
            &[0xff, 0xc0],     // inc eax
            &[0xff, 0x50],     // without its displacement
            &[0xe9, 1, 2, 3, 4],
            &[0xc3],
            &[0xff],
        ] {
            assert!(!before(other), "{other:x?}");
        }
    }
}
