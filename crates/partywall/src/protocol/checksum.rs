//! CRC-32 (ISO 3309, ITU-T V.42; the one of zlib and PNG), which every language has at hand.

const POLYNOMIAL: u32 = 0xedb8_8320;

/// `TABLES[k][b]`: the checksum of byte b followed by k zero bytes. Eight of them take eight bytes at a time.
static TABLES: [[u32; 256]; 8] = {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 0 {
                value >> 1
            } else {
                value >> 1 ^ POLYNOMIAL
            };
            bit += 1;
        }
        tables[0][byte] = value;
        byte += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[table - 1][byte];
            tables[table][byte] = before >> 8 ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        table += 1;
    }
    tables
};

/// The checksum of `bytes`.
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    let mut eights = bytes.chunks_exact(8);
    for eight in &mut eights {
        let word = u64::from_le_bytes(eight.try_into().expect("chunks of 8")) ^ u64::from(crc);
        crc = word
            .to_le_bytes()
            .iter()
            .zip(TABLES.iter().rev())
            .fold(0, |crc, (&byte, table)| crc ^ table[byte as usize]);
    }
    for &byte in eights.remainder() {
        crc = crc >> 8 ^ TABLES[0][((crc ^ u32::from(byte)) & 0xff) as usize];
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_texts_have_the_known_checksums() {
        for (text, known) in [
            (&b""[..], 0),
            (b"a", 0xe8b7_be43),
            (b"123456789", 0xcbf4_3926),
            (b"The quick brown fox jumps over the lazy dog", 0x414f_a339),
        ] {
            assert_eq!(checksum(text), known, "{text:?}");
        }
    }

    #[test]
    fn each_flipped_bit_is_noticed() {
        let mut bytes: Vec<u8> = (0..61).collect();
        let known = checksum(&bytes);
        for bit in 0..61 * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(checksum(&bytes), known);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
