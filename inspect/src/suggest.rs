//! Suggestions for "did you mean": the known name that is most similar to an unknown one.

/// The most similar name in `known`, if it is similar enough to be what the user meant.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let allowed = (name.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .filter(|candidate| *candidate != name)
        .map(|candidate| (distance(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The number of edits that turn one name into the other. A swap of two neighbours counts as one
/// edit.
fn distance(a: &str, b: &str) -> usize {
    strsim::damerau_levenshtein(a, b)
}
