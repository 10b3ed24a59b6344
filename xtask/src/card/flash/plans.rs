//! The plans of several cards as one text.

use std::fmt;

use super::plan::Plan;

/// Plans that are shown together: each image once, followed by its cards.
pub struct CardPlans<'a>(pub &'a [&'a Plan]);

impl fmt::Display for CardPlans<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.to_vec();
        while let Some(first) = rest.first().copied() {
            if rest.len() < self.0.len() {
                writeln!(f)?;
            }
            first.write_image(f)?;
            let (same, others) = rest.into_iter().partition::<Vec<_>, _>(|plan| plan.image == first.image);
            rest = others;
            for (index, plan) in same.into_iter().enumerate() {
                if index > 0 {
                    writeln!(f)?;
                }
                plan.write_card(f)?;
                plan.write_payload(f)?;
                plan.write_loss(f)?;
            }
        }
        Ok(())
    }
}
