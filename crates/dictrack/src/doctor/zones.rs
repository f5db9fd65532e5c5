//! Compares the time zone data of the programs that wrote a cache or a store.

use dictrack_core::zone::Zones;

use super::{Examination, Level};

impl Examination {
    /// Compares the versions of the time zone data that writers recorded, each with the words for who has it, with the one
    /// of this program.
    pub(crate) fn compare_zone_data(&mut self, recorded: &[(String, String)]) {
        let own = Zones::version();
        if recorded.is_empty() {
            return;
        }
        let mut versions: Vec<&str> = recorded.iter().map(|(version, _)| version.as_str()).collect();
        versions.sort_unstable();
        versions.dedup();
        self.fact("zone data", versions.join(", "));
        let other: Vec<String> = recorded
            .iter()
            .filter(|(version, _)| version != own)
            .map(|(version, who)| format!("{who} has {version}"))
            .collect();
        if !other.is_empty() {
            self.find(
                Level::Note,
                "zone_data",
                format!("the time zone data of this program is {own}, but {}", other.join(", ")),
                "where the rules of a zone differ, programs disagree about when its next days begin; current periods keep their ends",
                "use the same version of dictrack in all programs that share groups",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_other_versions_are_reported() {
        let mut examination = Examination::new("x");
        examination.compare_zone_data(&[]);
        assert!(examination.facts.is_empty() && examination.findings.is_empty());
        let own = Zones::version();
        examination.compare_zone_data(&[(own.to_owned(), "the last writer".to_owned())]);
        assert_eq!((&*examination.facts, examination.findings.len()), (&[("zone data", own.to_owned())][..], 0));
        let recorded = [(own, "a"), ("1999a", "b"), ("1998b", "c"), ("1999a", "d")];
        let mut examination = Examination::new("x");
        examination.compare_zone_data(&recorded.map(|(version, who)| (version.to_owned(), who.to_owned())));
        assert_eq!(examination.facts[0].1, format!("1998b, 1999a, {own}"));
        let found = format!("the time zone data of this program is {own}, but b has 1999a, c has 1998b, d has 1999a");
        assert_eq!((examination.findings.len(), &*examination.findings[0].found), (1, &*found));
        assert_eq!(examination.findings[0].level, Level::Note);
    }
}
