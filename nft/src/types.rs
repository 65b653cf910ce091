//! The types of the keys and of the data of one set.

use std::ops::Deref;

use smallvec::SmallVec;

use crate::DataType;

/// One type, or several in a concatenation. They stand in the set itself: the table of a firewall has twenty sets or
/// so, which are compared for each change, and each list elsewhere in memory would be waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Types(SmallVec<[DataType; 8]>);

impl Deref for Types {
    type Target = [DataType];

    fn deref(&self) -> &[DataType] {
        &self.0
    }
}

impl From<DataType> for Types {
    fn from(data: DataType) -> Self {
        Self::from([data])
    }
}

impl<const N: usize> From<[DataType; N]> for Types {
    fn from(types: [DataType; N]) -> Self {
        types.into_iter().collect()
    }
}

impl From<Vec<DataType>> for Types {
    fn from(types: Vec<DataType>) -> Self {
        types.into_iter().collect()
    }
}

impl FromIterator<DataType> for Types {
    fn from_iter<I: IntoIterator<Item = DataType>>(types: I) -> Self {
        Self(types.into_iter().collect())
    }
}

impl<'a> IntoIterator for &'a Types {
    type Item = &'a DataType;
    type IntoIter = std::slice::Iter<'a, DataType>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
