//! Differences between published scripts and the VP manual, and how `--strict-vp` treats them.

use std::ops::Range;

use crate::format::Part;

/// Whether a word is a misspelling of the manual's `vprobe`. A script of 2012 has `VProbe`.
pub(super) fn is_vprobe_misspelt(word: &str) -> bool {
    word != "vprobe" && word.eq_ignore_ascii_case("vprobe")
}

/// Where a format has lost the backslash of its newline, as `"...%sn"` did when it was pasted: the
/// format contains no newline, and only an `n` follows its last conversion.
pub(super) fn lost_newline(format: &str, parts: &[Part]) -> Option<Range<usize>> {
    let [.., Part::Argument(_, last), Part::Literal(_)] = parts else { return None };
    let lost = format.get(last.end..) == Some("n") && !format.contains('\n');
    lost.then(|| last.end..last.end + 1)
}
