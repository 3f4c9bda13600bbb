//! As much of HPACK (RFC 7541) as one gRPC question needs.
//!
//! Headers are written as plain literals. Of an answer only `grpc-status` is looked for: as the first answer of
//! its connection it cannot come from the dynamic table, so it is a literal, plain or in Huffman code, and
//! neither the tables nor a full Huffman decoder are needed.

/// `grpc-status` in the Huffman code of RFC 7541, appendix B.
const NAME_HUFFMAN: &[u8] = &[0x9a, 0xca, 0xc8, 0xb2, 0x12, 0x34, 0xda, 0x8f];
const NAME: &[u8] = b"grpc-status";

/// Appends a header as a literal that is not indexed.
pub(super) fn write(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    for text in [name, value] {
        write_integer(block, text.len(), 7);
        block.extend(text.as_bytes());
    }
}

/// Finds the value of `grpc-status` in a header block.
pub(super) fn grpc_status(mut block: &[u8]) -> Option<u32> {
    while let Some(&first) = block.first() {
        let prefix = match first {
            // An indexed header: a number and nothing else.
            0x80.. => {
                integer(&mut block, 7)?;
                continue;
            }
            // A change of the dynamic table's size.
            0x20..=0x3f => {
                integer(&mut block, 5)?;
                continue;
            }
            0x40..=0x7f => 6,
            _ => 4,
        };
        let name = if integer(&mut block, prefix)? == 0 { Some(string(&mut block)?) } else { None };
        let value = string(&mut block)?;
        if matches!(name, Some((false, NAME) | (true, NAME_HUFFMAN))) {
            return digits(value);
        }
    }
    None
}

fn write_integer(block: &mut Vec<u8>, mut value: usize, prefix: u32) {
    let full = (1 << prefix) - 1;
    if value < full {
        block.push(value as u8);
        return;
    }
    block.push(full as u8);
    value -= full;
    while value >= 0x80 {
        block.push(value as u8 | 0x80);
        value >>= 7;
    }
    block.push(value as u8);
}

fn integer(block: &mut &[u8], prefix: u32) -> Option<usize> {
    const LONGEST: u32 = 28;
    let full = (1_usize << prefix) - 1;
    let mut value = usize::from(take(block)?) & full;
    if value < full {
        return Some(value);
    }
    for shift in (0..=LONGEST).step_by(7) {
        let byte = take(block)?;
        value += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take(block: &mut &[u8]) -> Option<u8> {
    let (&first, rest) = block.split_first()?;
    *block = rest;
    Some(first)
}

/// A string as it stands, and whether it is in Huffman code.
fn string<'a>(block: &mut &'a [u8]) -> Option<(bool, &'a [u8])> {
    let huffman = block.first()? & 0x80 != 0;
    let length = integer(block, 7)?;
    let (text, rest) = block.split_at_checked(length)?;
    *block = rest;
    Some((huffman, text))
}

fn digits((huffman, text): (bool, &[u8])) -> Option<u32> {
    if !huffman {
        return std::str::from_utf8(text).ok()?.parse().ok();
    }
    const LARGEST: u32 = 99;
    (0..=LARGEST).find(|number| huffman_digits(&number.to_string()) == text)
}

/// Digits in Huffman code: 0 to 2 have five bits, 3 to 9 have six, ones fill the last byte.
fn huffman_digits(text: &str) -> Vec<u8> {
    let (mut bits, mut count) = (0_u64, 0);
    for digit in text.bytes().map(|byte| u64::from(byte - b'0')) {
        let (code, length) = if digit < 3 { (digit, 5) } else { (digit + 0x16, 6) };
        bits = bits << length | code;
        count += length;
    }
    let padding = (8 - count % 8) % 8;
    bits = bits << padding | ((1 << padding) - 1);
    let bytes = (count + padding) / 8;
    bits.to_be_bytes()[8 - bytes..].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_found() {
        let mut block = vec![0x88, 0x3f, 0xe1, 0x1f];
        write(&mut block, "content-type", &"x".repeat(300));
        write(&mut block, "grpc-status", "12");
        assert_eq!(grpc_status(&block), Some(12));
    }

    #[test]
    fn huffman_code_is_understood() {
        // The digits of RFC 7541, C.6.1: "302" is 64 02.
        assert_eq!(huffman_digits("302"), [0x64, 0x02]);
        for status in [0_u32, 5, 12, 16] {
            let value = huffman_digits(&status.to_string());
            let mut block = vec![0x40, 0x88];
            block.extend(NAME_HUFFMAN);
            block.push(0x80 | value.len() as u8);
            block.extend(value);
            assert_eq!(grpc_status(&block), Some(status));
        }
    }

    #[test]
    fn a_cut_block_has_no_status() {
        let mut block = Vec::new();
        write(&mut block, "grpc-status", "0");
        for end in 0..block.len() {
            assert_eq!(grpc_status(&block[..end]), None, "cut at {end}");
        }
    }
}
