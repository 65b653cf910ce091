//! Rules.

use serde::{Deserialize, Serialize};

use crate::Expr;

/// A rule: expressions that are carried out one after the other, until one does not match.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What it does.
    pub expressions: Vec<Expr>,
    /// Words for the person who reads `nft list`; 127 bytes at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// Expressions that mean something together: `ip daddr != @untranslated`. See [`crate::Field`].
pub type Statement = Vec<Expr>;

impl Rule {
    /// A rule that does nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The rule with `statement` at its end.
    #[must_use]
    pub fn with(mut self, statement: impl IntoIterator<Item = Expr>) -> Self {
        self.expressions.extend(statement);
        self
    }

    /// The rule with a comment.
    #[must_use]
    pub fn comment(mut self, comment: impl Into<String>) -> Self {
        self.comment = Some(comment.into());
        self
    }
}

impl<S: IntoIterator<Item = Expr>> FromIterator<S> for Rule {
    fn from_iter<I: IntoIterator<Item = S>>(statements: I) -> Self {
        Self { expressions: statements.into_iter().flatten().collect(), comment: None }
    }
}
