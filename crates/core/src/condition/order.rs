//! `lt`, `le`, `gt`, `ge`: order between two numbers or two strings.

use std::cmp::Ordering;

/// The four order tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is named by its operator")]
pub enum Order {
    Lt,
    Le,
    Gt,
    Ge,
}

impl Order {
    /// Whether the operand itself does not pass.
    #[inline]
    pub(crate) fn is_strict(self) -> bool {
        matches!(self, Self::Lt | Self::Gt)
    }

    /// Whether values below the operand pass.
    #[inline]
    pub(crate) fn is_down(self) -> bool {
        matches!(self, Self::Lt | Self::Le)
    }

    /// Whether a value that compares to the operand in this way passes.
    #[inline]
    pub(crate) fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Lt => ordering.is_lt(),
            Self::Le => ordering.is_le(),
            Self::Gt => ordering.is_gt(),
            Self::Ge => ordering.is_ge(),
        }
    }
}
