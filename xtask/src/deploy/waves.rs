//! Waves: several hosts are deployed a few at first, and the rest only if these are well.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;

use crate::bail;
use crate::base::Reach;

/// How far the waves of a deploy reach, and how many hosts may fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waves {
    reaches: Vec<Reach>,
    /// How many hosts may fail before no other is begun; `None` for any number.
    max_failures: Option<usize>,
}

impl Waves {
    /// The waves that reach `reaches`; a last one reaches all hosts. Where there are waves, no host may fail unless
    /// `max_failures` says more.
    pub fn new(reaches: Vec<Reach>, max_failures: Option<usize>) -> Self {
        let max_failures = max_failures.or((!reaches.is_empty()).then_some(0));
        Self { reaches, max_failures }
    }

    /// Refuses waves of which a later one reaches fewer hosts than the one before, as a list of their sizes would.
    ///
    /// # Errors
    /// `Usage`.
    pub fn check(&self) -> Result<()> {
        for pair in self.reaches.windows(2) {
            let [earlier, later] = pair else { continue };
            if later.is_below(*earlier) {
                bail!(
                    Usage, "--waves reaches {later} after {earlier}: each number is how many hosts are done when its wave ends";
                    hint: "let the numbers rise, such as `--waves 1,10%,100%`"
                );
            }
        }
        Ok(())
    }

    /// `items` in waves, none of which is empty.
    pub fn split<T>(&self, items: Vec<T>) -> Vec<Vec<T>> {
        let total = items.len();
        let ends = self.reaches.iter().map(|reach| reach.of(total)).chain([total]);
        let mut rest = items.into_iter();
        let mut reached = 0;
        let mut waves = Vec::new();
        for end in ends.filter(|end| *end <= total) {
            let wave = rest.by_ref().take(end.saturating_sub(reached)).collect::<Vec<_>>();
            reached = reached.max(end);
            if !wave.is_empty() {
                waves.push(wave);
            }
        }
        waves
    }

    /// A count of failures that knows when to stop.
    pub fn failures(&self) -> Failures {
        Failures { count: AtomicUsize::new(0), max: self.max_failures }
    }
}

/// The failures of a deploy so far.
#[derive(Debug)]
pub struct Failures {
    count: AtomicUsize,
    max: Option<usize>,
}

impl Failures {
    pub fn add(&self) {
        self.count.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether more hosts have failed than may fail.
    pub fn are_too_many(&self) -> bool {
        self.max.is_some_and(|max| self.count.load(Ordering::SeqCst) > max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waves(reaches: &str) -> Waves {
        let reaches = reaches.split(',').filter(|text| !text.is_empty()).map(|text| text.parse().unwrap());
        Waves::new(reaches.collect(), None)
    }

    #[test]
    fn waves_reach_as_many_hosts_as_they_say_and_a_last_one_the_rest() {
        for (reaches, total, expected) in [
            ("", 3, vec![3]),
            ("1,10%,100%", 200, vec![1, 19, 180]),
            ("1,10%,100%", 5, vec![1, 4]),
            ("1", 5, vec![1, 4]),
            ("2,1,50%", 10, vec![2, 3, 5]),
            ("10%", 1, vec![1]),
            ("7", 3, vec![3]),
            ("1%", 0, vec![]),
        ] {
            let sizes = waves(reaches).split((0..total).collect()).iter().map(Vec::len).collect::<Vec<_>>();
            assert_eq!(sizes, expected, "{reaches} of {total}");
        }
        assert_eq!(waves("1,2").split(vec!["a", "b", "c"]), [["a"], ["b"], ["c"]]);
    }

    #[test]
    fn waves_that_fall_are_refused() {
        for (reaches, falls) in [
            ("", false),
            ("1,10%,100%", false),
            ("2,2", false),
            ("50%,3,60%", false),
            ("5,3", true),
            ("1,50%,20%", true),
            ("100%,1", true),
            ("100%,7", true),
            ("50%,1", true),
            ("7,100%,100%", false),
            ("1,1%", false),
        ] {
            assert_eq!(waves(reaches).check().is_err(), falls, "{reaches}");
        }
    }

    #[test]
    fn in_waves_no_host_may_fail_unless_the_user_says_so() {
        for (reaches, max, allowed) in
            [("1", None, Some(0)), ("1", Some(2), Some(2)), ("", None, None), ("", Some(1), Some(1))]
        {
            let failures = Waves { ..Waves::new(waves(reaches).reaches, max) }.failures();
            for count in 0..5 {
                assert_eq!(
                    failures.are_too_many(),
                    allowed.is_some_and(|allowed| count > allowed),
                    "{count}"
                );
                failures.add();
            }
        }
    }
}
