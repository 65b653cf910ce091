//! `guestnet schema`.

use clap::ValueEnum;
use clap::builder::PossibleValue;
use guestnet::document::Described;

use crate::answer::{Answer, Json};
use crate::exit::Failure;

/// Print the JSON Schema of a document: of what `apply` takes, or of what `--output json` prints.
#[derive(clap::Args)]
pub struct Schema {
    /// Which document.
    #[arg(value_enum, default_value = "spec")]
    document: Document,
}

/// A document that has a schema.
#[derive(Clone, Copy)]
struct Document(Described);

impl ValueEnum for Document {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [Document; Described::ALL.len()] = {
            let mut all = [Document(Described::Spec); Described::ALL.len()];
            let mut n = 0;
            while n < all.len() {
                all[n] = Document(Described::ALL[n]);
                n += 1;
            }
            all
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.name()).help(self.0.about()))
    }
}

impl super::Run for Schema {
    fn run(self) -> Result<Answer, Failure> {
        Ok(Answer::new(Json(self.document.0.schema())))
    }
}
