//! "Did you mean": the known name that looks most like an unknown one.

/// The nearest of `known`, if it is near enough to be what the user meant.
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

/// Edits that turn one name into the other; swapped neighbours count as one.
fn distance(a: &str, b: &str) -> usize {
    strsim::damerau_levenshtein(a, b)
}
