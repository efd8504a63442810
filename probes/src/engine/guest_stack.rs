//! Stacks in the format of `VProbes`.

use crate::text::Text;

/// Formats a stack as `GUEST_0x..._0x...`, like `VProbes`. A stack that doesn't fit ends in `_...`.
pub(super) fn write(frames: &[u64], text: &mut Text) {
    const CUT: &[u8] = b"_...";
    text.clear();
    text.push(b"GUEST");
    for (index, frame) in frames.iter().enumerate() {
        let item = format!("_{frame:#x}");
        let last = index + 1 == frames.len();
        let needed = item.len() + if last { 0 } else { CUT.len() };
        if text.as_bytes().len() + needed > Text::MAX {
            return text.push(CUT);
        }
        text.push(item.as_bytes());
    }
}

#[cfg(test)]
#[path = "guest_stack_tests.rs"]
mod tests;
