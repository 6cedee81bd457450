//! What was meant by a name that is not known.

/// How many letters may be wrong. More is no typo but another word.
const TYPOS: usize = 3;

/// The name that is nearest, if one is near.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let distance = |other: &str| strsim::damerau_levenshtein(&lower, &other.to_lowercase());
    let near = known.into_iter().map(|other| (distance(other), other));
    let (_, found) = near
        .filter(|(distance, other)| *distance <= TYPOS.min(other.len() / 2))
        .min()?;
    Some(found)
}

/// The same as the end of a message.
pub(crate) fn did_you_mean<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
    prefix: &str,
) -> String {
    nearest(name, known).map_or_else(String::new, |found| {
        format!("; did you mean {prefix}{found}?")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_near_is_found() {
        let known = ["masqueradeAll", "masqueradeBit", "min"];
        for (name, found) in [
            ("masqueradAll", Some("masqueradeAll")),
            ("MasqueradeBit", Some("masqueradeBit")),
            ("mim", Some("min")),
            ("max", None),
            ("other", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known), found, "{name}");
        }
    }
}
