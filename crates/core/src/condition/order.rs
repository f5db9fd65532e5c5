//! `lt`, `le`, `gt`, `ge`: order between two numbers or two texts.

use std::cmp::Ordering;

/// The four tests of order.
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

    /// Whether what lies below the operand passes.
    #[inline]
    pub(crate) fn is_down(self) -> bool {
        matches!(self, Self::Lt | Self::Le)
    }

    /// Whether a value that compares so to the operand passes.
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
