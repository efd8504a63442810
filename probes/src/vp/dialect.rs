//! Where scripts in the wild differ from the manual, and what `--strict-vp` does about it.

use std::ops::Range;

use crate::format::Part;

/// How closely a script must keep to the manual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// As people wrote and pasted it.
    #[default]
    Lenient,
    /// As the manual has it.
    Strict,
}

/// The keyword is `vprobe` in the manual, `VProbe` in a script of 2012.
pub(super) fn is_vprobe_misspelt(word: &str) -> bool {
    word != "vprobe" && word.eq_ignore_ascii_case("vprobe")
}

/// Where a format has lost the backslash of its newline, as `"...%sn"` did when it was pasted: it
/// has no newline at all, and all that follows its last conversion is an `n`.
pub(super) fn lost_newline(format: &str, parts: &[Part]) -> Option<Range<usize>> {
    let [.., Part::Argument(_, last), Part::Literal(_)] = parts else { return None };
    let lost = format.get(last.end..) == Some("n") && !format.contains('\n');
    lost.then(|| last.end..last.end + 1)
}
