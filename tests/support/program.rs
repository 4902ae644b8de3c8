//! The smallest program there is, in place of a server that is only looked at.

/// The ELF numbers of the processors.
pub(crate) const AMD64: u16 = 62;
pub(crate) const ARM64: u16 = 183;

/// Returns a static program for a processor: a header and one segment.
pub(crate) fn static_program(machine: u16) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(16, 0);
    for half in [2, machine] {
        bytes.extend(half.to_le_bytes());
    }
    bytes.extend(1_u32.to_le_bytes());
    for word in [0x40_0078_u64, 64, 0] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, 1, 0, 0, 0] {
        bytes.extend(half.to_le_bytes());
    }
    for number in [1_u32, 5] {
        bytes.extend(number.to_le_bytes());
    }
    for word in [0_u64, 0x40_0000, 0x40_0000, 120, 120, 4096] {
        bytes.extend(word.to_le_bytes());
    }
    bytes
}
